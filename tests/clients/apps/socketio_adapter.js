// Socket.IO's Redis adapter: two servers that know each other through the server under test alone.
const http = require('node:http');
const { Server } = require('socket.io');
const { createAdapter, createShardedAdapter } = require('@socket.io/redis-adapter');
const { io: connect } = require('socket.io-client');
const Redis = require('ioredis');
const nodeRedis = require('redis');
const { check, host, port, run, sleep, until } = require('./common');

// A Socket.IO server on a free port, whose clients join the room that they ask for.
async function server(adapter) {
  const web = http.createServer();
  const io = new Server(web, { adapter });
  io.on('connection', (socket) => {
    socket.on('join', async (room, done) => { await socket.join(room); done(); });
    socket.on('leave', async (room, done) => { await socket.leave(room); done(); });
    socket.on('say', (room, text) => socket.to(room).emit('said', text));
  });
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
  return { io, at: `http://127.0.0.1:${web.address().port}` };
}

async function user(at, room) {
  const socket = connect(at, { transports: ['websocket'], forceNew: true });
  const got = [];
  socket.on('said', (text) => got.push(text));
  socket.on('question', (n, answer) => answer(n + 1));
  await new Promise((resolve, reject) => { socket.on('connect', resolve); socket.on('connect_error', reject); });
  if (room) await socket.emitWithAck('join', room);
  return { socket, got };
}

async function scene(name, makeAdapter) {
  const [one, two] = [await server(makeAdapter()), await server(makeAdapter())];
  await sleep(100); // both have subscribed by then
  const ann = await user(one.at, 'red');
  const bob = await user(two.at, 'red');
  const cy = await user(two.at, 'blue');

  ann.socket.emit('say', 'red', 'hello red');
  await until(() => bob.got.length);
  check(`${name}: room across servers`, [ann.got, bob.got, cy.got], [[], ['hello red'], []]);
  one.io.emit('said', 'to all');
  await until(() => bob.got.length > 1 && cy.got.length && ann.got.length);
  check(`${name}: to all`, [ann.got, bob.got, cy.got], [['to all'], ['hello red', 'to all'], ['to all']]);
  two.io.to(['red', 'blue']).except(bob.socket.id).emit('said', Buffer.from([0, 255, 10]));
  await until(() => ann.got.length > 1 && cy.got.length > 1);
  check(`${name}: binary, with an exception`, [ann.got[1], bob.got.length, cy.got[1]], [Buffer.from([0, 255, 10]), 2, Buffer.from([0, 255, 10])]);
  two.io.to(ann.socket.id).emit('said', 'only you');
  await until(() => ann.got.length > 2);
  check(`${name}: to one on the other server`, ann.got[2], 'only you');

  check(`${name}: sockets of all servers`, (await one.io.fetchSockets()).map((s) => s.id).sort(), [ann, bob, cy].map((u) => u.socket.id).sort());
  check(`${name}: answers from all servers`, await one.io.timeout(3000).emitWithAck('question', 41), [42, 42, 42]);
  two.io.on('count', (n, answer) => answer(n * 2));
  check(`${name}: server asks server`, await one.io.serverSideEmitWithAck('count', 21), [42]);
  one.io.in(cy.socket.id).socketsJoin('red');
  await until(async () => (await two.io.in('red').fetchSockets()).length === 3);
  check(`${name}: joined from afar`, (await two.io.in('red').fetchSockets()).length, 3);
  const before = bob.got.length;
  for (let n = 0; n < 200; n += 1) one.io.to('red').emit('said', n);
  await until(() => bob.got.length === before + 200);
  check(`${name}: 200 messages in order`, bob.got.slice(before), Array.from({ length: 200 }, (_, n) => n));
  await bob.socket.emitWithAck('leave', 'red');
  one.io.to('red').emit('said', 'late');
  await until(() => cy.got.at(-1) === 'late');
  check(`${name}: who left hears nothing`, [cy.got.at(-1), bob.got.at(-1)], ['late', 199]);
  one.io.in('red').disconnectSockets(true);
  await until(() => !ann.socket.connected && !cy.socket.connected);
  check(`${name}: disconnected from afar`, [ann.socket.connected, cy.socket.connected, bob.socket.connected], [false, false, true]);
  for (const one_ of [ann, bob, cy]) one_.socket.disconnect();
  await Promise.all([one.io.close(), two.io.close()]);
}

async function main() {
  await scene('ioredis', () => createAdapter(new Redis({ host, port }), new Redis({ host, port })));
  const clients = [];
  for (let n = 0; n < 4; n += 1) {
    clients.push(nodeRedis.createClient({ socket: { host, port } }));
    await clients[n].connect();
  }
  await scene('node-redis', () => createAdapter(clients.pop(), clients.pop()));
  await scene('sharded', () => createShardedAdapter(new Redis({ host, port }), new Redis({ host, port })));
}

run(main);
