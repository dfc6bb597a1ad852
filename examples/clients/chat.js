// A chat: rooms that keep their newest messages, a list of rooms by activity, unread counts.
// usage: node chat.js [PORT]; needs ioredis. It touches only keys that begin with "chat:".
const assert = require('node:assert');
const Redis = require('ioredis');

const KEEP = 100; // messages a room
const r = new Redis({ port: Number(process.argv[2] ?? 6379) });

const join = (room, user) => r.sadd(`chat:members:${room}`, user);

// The message, the cap, the room's place in the list and a count for everyone else go as one pipeline.
async function send(room, user, text) {
  const members = await r.smembers(`chat:members:${room}`);
  const pipe = r.pipeline();
  pipe.rpush(`chat:messages:${room}`, JSON.stringify({ from: user, text }));
  pipe.ltrim(`chat:messages:${room}`, -KEEP, -1);
  pipe.zadd('chat:rooms', performance.timeOrigin + performance.now(), room);
  for (const other of members) if (other !== user) pipe.hincrby(`chat:unread:${other}`, room, 1);
  await pipe.exec();
}

const history = async (room, count = 20) => (await r.lrange(`chat:messages:${room}`, -count, -1)).map((message) => JSON.parse(message));

// The rooms with the newest messages first.
const rooms = (count = 10) => r.zrange('chat:rooms', 0, count - 1, 'REV');

const unread = (user) => r.hgetall(`chat:unread:${user}`);

async function read(room, user) {
  await r.hdel(`chat:unread:${user}`, room);
  return history(room);
}

async function clear() {
  for await (const keys of r.scanStream({ match: 'chat:*' })) if (keys.length) await r.unlink(...keys);
}

async function main() {
  await clear();
  for (const user of ['ada', 'bob', 'eve']) await join('lobby', user);
  for (const user of ['ada', 'bob']) await join('dev', user);

  await send('dev', 'ada', 'the build is green');
  for (let number = 0; number < 150; number += 1) await send('lobby', 'bob', `message ${number}`);

  assert.deepStrictEqual(await rooms(), ['lobby', 'dev']);
  assert.strictEqual(await r.llen('chat:messages:lobby'), KEEP);
  assert.deepStrictEqual(await history('lobby', 1), [{ from: 'bob', text: 'message 149' }]);
  assert.deepStrictEqual(await unread('ada'), { lobby: '150' });
  assert.deepStrictEqual(await unread('bob'), { dev: '1' });
  assert.strictEqual((await read('lobby', 'ada')).length, 20);
  assert.deepStrictEqual(await unread('ada'), {});
  await send('dev', 'bob', 'ship it');
  assert.deepStrictEqual(await rooms(), ['dev', 'lobby']);
  await clear();
  r.disconnect();
  console.log('ok');
}

main().catch((error) => { console.error(error); process.exit(1); });
