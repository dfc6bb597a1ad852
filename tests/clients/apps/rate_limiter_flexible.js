// rate-limiter-flexible: points in a time, blocking, penalties and rewards, bursts, unions, with both client libraries.
const Redis = require('ioredis');
const nodeRedis = require('redis');
const { BurstyRateLimiter, RateLimiterRedis, RateLimiterUnion } = require('rate-limiter-flexible');
const { check, host, port, run, sleep } = require('./common');

// How often each outcome came: 'ok' or 'limited'; errors by their text.
async function outcomes(limiter, key, times) {
  const results = await Promise.all(Array.from({ length: times }, () => limiter.consume(key).then(
    () => 'ok',
    (refused) => (refused instanceof Error ? refused.message : 'limited'),
  )));
  return Object.fromEntries([...new Set(results)].sort().map((r) => [r, results.filter((x) => x === r).length]));
}

async function scene(name, storeClient, extra) {
  const limiter = new RateLimiterRedis({ storeClient, points: 5, duration: 1, keyPrefix: name, ...extra });
  const first = await limiter.consume('user', 2);
  check(`${name}: points`, [first.consumedPoints, first.remainingPoints, first.isFirstInDuration], [2, 3, true]);
  check(`${name}: time`, first.msBeforeNext > 800 && first.msBeforeNext <= 1000, true);
  check(`${name}: three more`, await outcomes(limiter, 'user', 10), { limited: 7, ok: 3 });
  await sleep(1050);
  check(`${name}: anew`, (await limiter.consume('user')).consumedPoints, 1);
  check(`${name}: penalty and reward`, [(await limiter.penalty('user', 3)).consumedPoints, (await limiter.reward('user', 2)).consumedPoints], [4, 2]);
  check(`${name}: get`, (await limiter.get('user')).remainingPoints, 3);
  check(`${name}: deleted`, [await limiter.delete('user'), await limiter.get('user')], [true, null]);
  await limiter.block('bad', 60);
  const refused = await limiter.consume('bad').catch((e) => e);
  check(`${name}: blocked`, refused.msBeforeNext > 55000 && refused.msBeforeNext <= 60000, true);

  const strict = new RateLimiterRedis({ storeClient, points: 20, duration: 60, blockDuration: 120, keyPrefix: `${name}:strict`, ...extra });
  check(`${name}: a crowd`, await outcomes(strict, 'all', 200), { limited: 180, ok: 20 });
  check(`${name}: block for longer`, (await strict.get('all')).msBeforeNext > 110000, true);

  const slow = new RateLimiterRedis({ storeClient, points: 3, duration: 60, keyPrefix: `${name}:slow`, ...extra });
  const burst = new RateLimiterRedis({ storeClient, points: 4, duration: 60, keyPrefix: `${name}:burst`, ...extra });
  check(`${name}: bursts`, await outcomes(new BurstyRateLimiter(slow, burst), 'b', 10), { limited: 3, ok: 7 });
  const union = new RateLimiterUnion(limiter, slow);
  const both = await union.consume('u');
  check(`${name}: union`, [both[name].remainingPoints, both[`${name}:slow`].remainingPoints], [4, 2]);
}

async function main() {
  const one = new Redis({ host, port, enableOfflineQueue: false, lazyConnect: true });
  await one.connect();
  await scene('ioredis', one, {});
  const two = nodeRedis.createClient({ socket: { host, port } });
  await two.connect();
  await scene('node-redis', two, { useRedisPackage: true });
  one.disconnect();
  await two.quit();
}

run(main);
