// ioredis: one check an area of the client matrix.
// usage: node ioredis.js PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
const assert = require('node:assert');
const Redis = require('ioredis');

const port = Number(process.argv[2]);
const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const same = assert.deepStrictEqual;
const soon = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const make = (options = {}) => new Redis({ port, maxRetriesPerRequest: 1, ...options });

async function withOther(options, body) {
  const other = make(options);
  try {
    await body(other);
  } finally {
    other.disconnect();
  }
}

const areas = {
  async connect(r) {
    same(await r.ping(), 'PONG');
    await withOther({ username: 'worker', password: 'secret', db: 3, connectionName: 'matrix' }, async (other) => {
      same([await other.acl('WHOAMI'), await other.client('GETNAME')], ['worker', 'matrix']);
      same([await other.set('only-in-3', 1), await r.get('only-in-3')], ['OK', null]);
      await other.flushdb();
    });
    await assert.rejects(r.auth('worker', 'x'), /^ReplyError: WRONGPASS/);
    same((await r.hello(2)).slice(0, 2), ['server', 'redis']);
  },
  async strings(r) {
    same(await r.set('s', 'héllo', 'EX', 100), 'OK');
    same([await r.get('s'), await r.ttl('s'), await r.get('none')], ['héllo', 100, null]);
    same([await r.set('s', 'x', 'NX'), await r.incrby('n', 40), await r.decr('n'), await r.incrbyfloat('f', 2.5)], [null, 40, 39, '2.5']);
    same([await r.mset({ a: 1, b: 2 }), await r.mget('a', 'none', 'b')], ['OK', ['1', null, '2']]);
  },
  async pipeline(r) {
    const pipe = r.pipeline();
    for (let i = 0; i < 2000; i += 1) pipe.incr('counter');
    const replies = await pipe.lpush('counter', 'x').get('counter').exec();
    same(replies.slice(0, 2000).every(([error, reply], i) => error === null && reply === i + 1), true);
    same([/^WRONGTYPE /.test(replies[2000][0].message), replies[2001]], [true, [null, '2000']]);
  },
  async transaction(r) {
    await withOther({}, async (other) => {
      await r.watch('t');
      await other.set('t', 1);
      same(await r.multi().incr('t').exec(), null);
    });
    await r.watch('t');
    same(await r.multi().incr('t').lpush('tl', 'a').exec(), [[null, 2], [null, 1]]);
    await assert.rejects(r.multi({ pipeline: false }).then(() => r.call('NOSUCH')), /unknown command/);
    await assert.rejects(r.exec(), /EXECABORT/);
  },
  async list(r) {
    same([await r.rpush('l', 'a', 'b', 'c'), await r.lpop('l'), await r.lrange('l', 0, -1)], [3, 'a', ['b', 'c']]);
    same([await r.lmove('l', 'm', 'RIGHT', 'LEFT'), await r.llen('m')], ['c', 1]);
    same(await r.blpop('q', 0.05), null);
    await withOther({}, async (other) => {
      const waiting = r.blpop('none', 'q', 5);
      await soon(100);
      await other.rpush('q', 'work');
      same(await waiting, ['q', 'work']);
    });
  },
  async hash(r) {
    same([await r.hset('h', { f: 1, g: 'two' }), await r.hgetall('h')], [2, { f: '1', g: 'two' }]);
    same([await r.hmget('h', 'f', 'none'), await r.hincrby('h', 'f', 9), await r.hdel('h', 'g'), await r.hlen('h')], [['1', null], 10, 1, 1]);
  },
  async set(r) {
    same([await r.sadd('s1', 'a', 'b'), await r.sadd('s2', 'b', 'c'), (await r.smembers('s1')).sort()], [2, 2, ['a', 'b']]);
    same([await r.sinter('s1', 's2'), await r.sdiff('s1', 's2'), await r.smismember('s1', 'a', 'z')], [['b'], ['a'], [1, 0]]);
  },
  async zset(r) {
    same(await r.zadd('z', 1, 'a', 2.5, 'b', '+inf', 'c'), 3);
    same(await r.zrange('z', 0, -1, 'WITHSCORES'), ['a', '1', 'b', '2.5', 'c', 'inf']);
    same([await r.zrank('z', 'c'), await r.zincrby('z', 2, 'a'), await r.zrangebyscore('z', '(2.5', '+inf')], [2, '3', ['a', 'c']]);
  },
  async stream(r) {
    const ids = [];
    for (let i = 0; i < 3; i += 1) ids.push(await r.xadd('x', '*', 'n', i));
    same([await r.xlen('x'), (await r.xrange('x', '-', '+')).map(([id]) => id)], [3, ids]);
    same(await r.xgroup('CREATE', 'x', 'g', '0'), 'OK');
    same(await r.xreadgroup('GROUP', 'g', 'one', 'COUNT', 2, 'STREAMS', 'x', '>'), [['x', [[ids[0], ['n', '0']], [ids[1], ['n', '1']]]]]);
    same([await r.xack('x', 'g', ids[0]), await r.xpending('x', 'g')], [1, [1, ids[1], ids[1], [['one', '1']]]]);
    same((await r.xautoclaim('x', 'g', 'two', 0, '0'))[1], [[ids[1], ['n', '1']]]);
    await withOther({}, async (other) => {
      const waiting = r.xread('BLOCK', 5000, 'STREAMS', 'x', '$');
      await soon(100);
      const id = await other.xadd('x', '*', 'late', 1);
      same(await waiting, [['x', [[id, ['late', '1']]]]]);
    });
  },
  async scan(r) {
    await r.mset(Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`scan:${i}`, i])));
    const keys = new Set();
    for await (const batch of r.scanStream({ match: 'scan:*', count: 70 })) batch.forEach((key) => keys.add(key));
    same(keys.size, 1000);
    await r.sadd('ss', ...Array.from({ length: 700 }, (_, i) => `m${i}`));
    const members = new Set();
    for await (const batch of r.sscanStream('ss')) batch.forEach((member) => members.add(member));
    same(members.size, 700);
  },
  async pubsub(r) {
    await withOther({}, async (other) => {
      const heard = [];
      other.on('messageBuffer', (channel, data) => heard.push([String(channel), data.equals(EVERY_BYTE)]));
      other.on('pmessage', (pattern, channel) => heard.push([pattern, channel]));
      same([await other.subscribe('news'), await other.psubscribe('n?ws*')], [1, 2]);
      same(await r.publish('news', EVERY_BYTE), 2);
      while (heard.length < 2) await soon(10);
      same(heard, [['news', true], ['n?ws*', 'news']]);
      same(await other.unsubscribe('news'), 1);
    });
  },
  async script(r) {
    r.defineCommand('matrix', { numberOfKeys: 1, lua: "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}" });
    for (let i = 0; i < 2; i += 1) {
      await r.script('FLUSH');
      same(await r.matrix('k', 'v'), ['k', 7, null]);
    }
    await assert.rejects(r.evalsha('0'.repeat(40), 0), /^ReplyError: NOSCRIPT/);
    await assert.rejects(r.eval("return redis.error_reply('MINE words')", 0), /^ReplyError: MINE words/);
  },
  async binary(r) {
    same([await r.set(EVERY_BYTE, EVERY_BYTE), EVERY_BYTE.equals(await r.getBuffer(EVERY_BYTE))], ['OK', true]);
    same([await r.set('', ''), await r.get('')], ['OK', '']);
  },
  async big(r) {
    const value = Buffer.alloc(16 << 20, EVERY_BYTE);
    same([await r.set('big', value), value.equals(await r.getBuffer('big'))], ['OK', true]);
    same([await r.rpush('lb', ...Array.from({ length: 20000 }, (_, i) => i)), (await r.lrange('lb', 0, -1)).length], [20000, 20000]);
  },
  async errors(r) {
    await r.set('e', 'x');
    await assert.rejects(r.lpush('e', 1), /^ReplyError: WRONGTYPE /);
    await assert.rejects(r.incr('e'), /^ReplyError: ERR value is not an integer or out of range$/);
    await assert.rejects(r.call('GET'), /wrong number of arguments for 'get' command/);
    same(await r.ping(), 'PONG');
  },
};

async function main() {
  console.log(`VERSION ${require('ioredis/package.json').version}`);
  const r = make();
  await r.flushall();
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
  r.disconnect();
  process.exit(failed);
}

main();
