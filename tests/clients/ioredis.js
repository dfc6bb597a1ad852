// ioredis and node-redis against the server.
// usage: node ioredis.js PORT; prints one PASS or FAIL line a check; exit code 1 when one fails.
const assert = require('node:assert');
const Redis = require('ioredis');
const nodeRedis = require('redis');

const port = Number(process.argv[2]);
let failures = 0;

function check(name, seen, wanted) {
  try {
    assert.deepStrictEqual(seen, wanted);
    console.log(`PASS ${name}`);
  } catch {
    failures += 1;
    console.log(`FAIL ${name}: got ${JSON.stringify(seen)}, expected ${JSON.stringify(wanted)}`);
  }
}

async function part(name, body) {
  try {
    await body();
  } catch (error) {
    check(name, String(error), 'no exception');
  }
}

async function errorOf(promise) {
  try {
    await promise;
    return 'no error';
  } catch (error) {
    return error.message;
  }
}

async function strings(r) {
  check('set', await r.set('s', 'héllo'), 'OK');
  check('get', await r.get('s'), 'héllo');
  check('get buffer', (await r.getBuffer('s')).length, 6);
  check('get missing', await r.get('none'), null);
  check('set nx', await r.set('s', 'x', 'NX'), null);
  check('set ex', [await r.set('e', 'v', 'EX', 100), await r.ttl('e')], ['OK', 100]);
  check('incr', [await r.incr('n'), await r.incrby('n', 10), await r.decr('n')], [1, 11, 10]);
  check('mget', [await r.mset({ a: 1, b: 2 }), await r.mget('a', 'b', 'c')], ['OK', ['1', '2', null]]);
  check('bits', [await r.setbit('bits', 7, 1), await r.bitcount('bits')], [0, 1]);
  const binary = Buffer.from([0, 255, 13, 10, 0]);
  await r.set('bin', binary);
  check('binary', (await r.getBuffer('bin')).equals(binary), true);
  check('wrong type', await errorOf(r.lpush('s', 1)), 'WRONGTYPE Operation against a key holding the wrong kind of value');
}

async function collections(r) {
  check('hset', await r.hset('h', { f: 1, g: 2 }), 2);
  check('hgetall', await r.hgetall('h'), { f: '1', g: '2' });
  check('hmget', await r.hmget('h', 'f', 'x'), ['1', null]);
  check('rpush lrange', [await r.rpush('l', 1, 2, 3), await r.lrange('l', 0, -1)], [3, ['1', '2', '3']]);
  check('lpop count', await r.lpop('l', 2), ['1', '2']);
  check('sadd', await r.sadd('st', 'a', 'b', 'c'), 3);
  check('smembers', (await r.smembers('st')).sort(), ['a', 'b', 'c']);
  check('zadd', await r.zadd('z', 1, 'a', 2.5, 'b'), 2);
  check('zrange withscores', await r.zrange('z', 0, -1, 'WITHSCORES'), ['a', '1', 'b', '2.5']);
  check('zscore', await r.zscore('z', 'b'), '2.5');
  check('geo', [await r.geoadd('g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'), await r.geodist('g', 'Palermo', 'Catania', 'km')], [2, '166.2742']);
  check('geosearch', await r.geosearch('g', 'FROMLONLAT', 15, 37, 'BYRADIUS', 200, 'km', 'ASC'), ['Catania', 'Palermo']);
  check('pfadd', await r.pfadd('hll', 'a', 'b', 'c'), 1);
}

async function scans(r) {
  const pipeline = r.pipeline();
  for (let i = 0; i < 500; i += 1) pipeline.set(`scan:${i}`, i);
  check('pipeline', (await pipeline.exec()).every(([error, reply]) => error === null && reply === 'OK'), true);
  const keys = new Set();
  for await (const batch of r.scanStream({ match: 'scan:*', count: 50 })) batch.forEach((key) => keys.add(key));
  check('scanStream', keys.size, 500);
  const replies = await r.pipeline().set('pe', 'x').incr('pe').get('pe').exec();
  check('pipeline with an error', [replies[0][1], replies[1][0].message, replies[2][1]], ['OK', 'ERR value is not an integer or out of range', 'x']);
  const many = await Promise.all(Array.from({ length: 1000 }, () => r.incr('counter')));
  check('a thousand at once', many[999], 1000);
  const automatic = new Redis({ port, enableAutoPipelining: true });
  check('auto pipelining', await Promise.all([automatic.get('pe'), automatic.get('counter')]), ['x', '1000']);
  automatic.disconnect();
}

async function connection(r) {
  check('ping', await r.ping(), 'PONG');
  check('info', /redis_version:\d+\.\d+\.\d+/.test(await r.info()), true);
  check('config', await r.config('GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction']);
  const other = new Redis({ port, db: 3, connectionName: 'other' });
  check('database', [await other.set('k3', 1), await r.get('k3')], ['OK', null]);
  check('connectionName', await other.client('GETNAME'), 'other');
  const monitor = await r.monitor();
  const seen = new Promise((resolve) => monitor.once('monitor', (_, args) => resolve(args)));
  await other.set('watched', 1);
  check('monitor', await seen, ['set', 'watched', '1']);
  monitor.disconnect();
  other.disconnect();
}

async function withNodeRedis() {
  const r = nodeRedis.createClient({ url: `redis://127.0.0.1:${port}` });
  await r.connect();
  check('node-redis set get', [await r.set('nr', 'v'), await r.get('nr')], ['OK', 'v']);
  check('node-redis hash', [await r.hSet('nh', { a: '1' }), { ...(await r.hGetAll('nh')) }], [1, { a: '1' }]);
  check('node-redis zset', [await r.zAdd('nz', [{ score: 1, value: 'a' }]), await r.zRangeWithScores('nz', 0, -1)], [1, [{ value: 'a', score: 1 }]]);
  let count = 0;
  for await (const key of r.scanIterator({ MATCH: 'scan:*', COUNT: 50 })) count += key.length > 0;
  check('node-redis scanIterator', count >= 500, true);
  await r.quit();
}

async function main() {
  const r = new Redis({ port, maxRetriesPerRequest: 1 });
  await r.flushall();
  await part('strings', () => strings(r));
  await part('collections', () => collections(r));
  await part('scans', () => scans(r));
  await part('connection', () => connection(r));
  await part('node-redis', withNodeRedis);
  r.disconnect();
  process.exit(failures ? 1 : 0);
}

main();
