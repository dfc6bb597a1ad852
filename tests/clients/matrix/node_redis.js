// node-redis: one check an area of the client matrix.
// usage: node node_redis.js PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
const assert = require('node:assert');
const { commandOptions, createClient, defineScript } = require('redis');

const port = Number(process.argv[2]);
const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const same = assert.deepStrictEqual;
const soon = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const buffers = commandOptions({ returnBuffers: true });
const url = (who, db) => `redis://${who}127.0.0.1:${port}/${db}`;
const scripts = {
  matrix: defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}",
    transformArguments: (key, value) => [key, value],
  }),
};

async function withOther(options, body) {
  const other = createClient({ url: url('', 0), ...options });
  other.on('error', () => {});
  await other.connect();
  try {
    await body(other);
  } finally {
    await other.disconnect();
  }
}

const areas = {
  async connect(r) {
    same(await r.ping(), 'PONG');
    await withOther({ url: url('worker:secret@', 3), name: 'matrix' }, async (other) => {
      same([await other.aclWhoAmI(), await other.clientGetName()], ['worker', 'matrix']);
      same([await other.set('only-in-3', 1), await r.get('only-in-3')], ['OK', null]);
      await other.flushDb();
    });
    await assert.rejects(withOther({ url: url('worker:x@', 0), socket: { reconnectStrategy: false } }, () => {}), /WRONGPASS/);
  },
  async strings(r) {
    same(await r.set('s', 'héllo', { EX: 100 }), 'OK');
    same([await r.get('s'), await r.ttl('s'), await r.get('none')], ['héllo', 100, null]);
    same([await r.set('s', 'x', { NX: true }), await r.incrBy('n', 40), await r.decr('n')], [null, 40, 39]);
    same([await r.mSet({ a: '1', b: '2' }), await r.mGet(['a', 'none', 'b'])], ['OK', ['1', null, '2']]);
  },
  async pipeline(r) {
    const promises = Array.from({ length: 2000 }, () => r.incr('counter'));
    const wrong = assert.rejects(r.lPush('counter', 'x'), /WRONGTYPE/);
    same(await Promise.all(promises), Array.from({ length: 2000 }, (_, i) => i + 1));
    await wrong;
    same(await r.get('counter'), '2000');
  },
  async transaction(r) {
    await withOther({}, async (other) => {
      await r.watch('t');
      await other.set('t', 1);
      await assert.rejects(r.multi().incr('t').exec(), /watched keys has been changed/);
    });
    await r.watch('t');
    same(await r.multi().incr('t').lPush('tl', 'a').exec(), [2, 1]);
    await assert.rejects(r.multi().addCommand(['NOSUCH']).exec(), /EXECABORT|unknown command/);
  },
  async list(r) {
    same([await r.rPush('l', ['a', 'b', 'c']), await r.lPop('l'), await r.lRange('l', 0, -1)], [3, 'a', ['b', 'c']]);
    same([await r.lMove('l', 'm', 'RIGHT', 'LEFT'), await r.lLen('m')], ['c', 1]);
    same(await r.blPop('q', 0.05), null);
    await withOther({}, async (other) => {
      const waiting = other.blPop(['none', 'q'], 5);
      await soon(100);
      await r.rPush('q', 'work');
      same({ ...(await waiting) }, { key: 'q', element: 'work' });
    });
  },
  async hash(r) {
    same([await r.hSet('h', { f: '1', g: 'two' }), { ...(await r.hGetAll('h')) }], [2, { f: '1', g: 'two' }]);
    same([await r.hmGet('h', ['f', 'none']), await r.hIncrBy('h', 'f', 9), await r.hDel('h', 'g'), await r.hLen('h')], [['1', null], 10, 1, 1]);
  },
  async set(r) {
    same([await r.sAdd('s1', ['a', 'b']), await r.sAdd('s2', ['b', 'c']), (await r.sMembers('s1')).sort()], [2, 2, ['a', 'b']]);
    same([await r.sInter(['s1', 's2']), await r.sDiff(['s1', 's2']), await r.smIsMember('s1', ['a', 'z'])], [['b'], ['a'], [true, false]]);
  },
  async zset(r) {
    same(await r.zAdd('z', [{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }, { score: 9, value: 'c' }]), 3);
    same((await r.zRangeWithScores('z', 0, -1)).map(({ score, value }) => [value, score]), [['a', 1], ['b', 2.5], ['c', 9]]);
    same([await r.zRank('z', 'c'), await r.zIncrBy('z', 2, 'a'), await r.zRangeByScore('z', '(2.5', '+inf')], [2, 3, ['a', 'c']]);
  },
  async stream(r) {
    const ids = [];
    for (let i = 0; i < 3; i += 1) ids.push(await r.xAdd('x', '*', { n: String(i) }));
    same([await r.xLen('x'), (await r.xRange('x', '-', '+')).map(({ id }) => id)], [3, ids]);
    same(await r.xGroupCreate('x', 'g', '0'), 'OK');
    const got = await r.xReadGroup('g', 'one', { key: 'x', id: '>' }, { COUNT: 2 });
    same(got[0].messages.map(({ id, message }) => [id, message.n]), [[ids[0], '0'], [ids[1], '1']]);
    same([await r.xAck('x', 'g', ids[0]), (await r.xPending('x', 'g')).pending], [1, 1]);
    same((await r.xAutoClaim('x', 'g', 'two', 0, '0')).messages.map(({ id }) => id), [ids[1]]);
  },
  async scan(r) {
    await r.mSet(Array.from({ length: 1000 }, (_, i) => [`scan:${i}`, String(i)]));
    const keys = new Set();
    for await (const key of r.scanIterator({ MATCH: 'scan:*', COUNT: 70 })) keys.add(key);
    await r.sAdd('ss', Array.from({ length: 700 }, (_, i) => `m${i}`));
    const members = new Set();
    for await (const member of r.sScanIterator('ss')) members.add(member);
    same([keys.size, members.size], [1000, 700]);
  },
  async pubsub(r) {
    await withOther({}, async (other) => {
      const heard = [];
      await other.subscribe('news', (data, channel) => heard.push([String(channel), data.equals(EVERY_BYTE)]), true);
      await other.pSubscribe('n?ws*', (data, channel) => heard.push(['pattern', channel]));
      same(await r.publish('news', EVERY_BYTE), 2);
      while (heard.length < 2) await soon(10);
      same(heard, [['news', true], ['pattern', 'news']]);
      await other.unsubscribe('news');
      same(await r.publish('news', 'x'), 1);
    });
  },
  async script(r) {
    for (let i = 0; i < 2; i += 1) {
      await r.scriptFlush();
      same(await r.matrix('k', 'v'), ['k', 7, null]);
    }
    await assert.rejects(r.evalSha('0'.repeat(40)), /NOSCRIPT/);
  },
  async binary(r) {
    same([await r.set(EVERY_BYTE, EVERY_BYTE), EVERY_BYTE.equals(await r.get(buffers, EVERY_BYTE))], ['OK', true]);
    same([await r.set('', ''), await r.get('')], ['OK', '']);
  },
  async big(r) {
    const value = Buffer.alloc(16 << 20, EVERY_BYTE);
    same([await r.set('big', value), value.equals(await r.get(buffers, 'big'))], ['OK', true]);
  },
  async errors(r) {
    await r.set('e', 'x');
    await assert.rejects(r.lPush('e', '1'), /WRONGTYPE /);
    await assert.rejects(r.incr('e'), /ERR value is not an integer or out of range$/);
    await assert.rejects(r.sendCommand(['GET']), /wrong number of arguments for 'get' command/);
    same(await r.ping(), 'PONG');
  },
};

async function main() {
  console.log(`VERSION ${require('redis/package.json').version}`);
  const r = createClient({ url: url('', 0), scripts });
  r.on('error', (error) => console.log(`FAIL connect: ${error}`));
  await r.connect();
  await r.flushAll();
  let failed = 0;
  for (const [name, area] of Object.entries(areas)) {
    try {
      await area(r);
      console.log(`PASS ${name}`);
    } catch (error) {
      failed = 1;
      console.log(`FAIL ${name}: ${String(error.stack).replaceAll('\n', ' ').slice(0, 500)}`);
    }
  }
  await r.disconnect();
  process.exit(failed);
}

main();
