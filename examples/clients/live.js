// A live stream: counters, distinct viewers, and who is here at this moment.
// usage: node live.js [PORT]; needs ioredis. It touches only keys that begin with "live:".
const assert = require('node:assert');
const { setTimeout: sleep } = require('node:timers/promises');
const Redis = require('ioredis');

const HERE_MS = 1000; // how long a heartbeat counts; a real player would beat every 5 s and count for 15
const r = new Redis({ port: Number(process.argv[2] ?? 6379) });

// The player calls it now and then: a key that ends by itself, and one more element of a HyperLogLog.
const heartbeat = (stream, viewer) => r.pipeline()
  .set(`live:here:${stream}:${viewer}`, 1, 'PX', HERE_MS)
  .pfadd(`live:viewers:${stream}`, viewer)
  .exec();

async function here(stream) {
  const prefix = `live:here:${stream}:`;
  const found = new Set();
  for await (const keys of r.scanStream({ match: `${prefix}*`, count: 1000 })) {
    for (const key of keys) found.add(key.slice(prefix.length));
  }
  return [...found].sort();
}

const count = (stream, what, by = 1) => r.hincrby(`live:stats:${stream}`, what, by);
const stats = (stream) => r.hgetall(`live:stats:${stream}`);

async function clear() {
  for await (const keys of r.scanStream({ match: 'live:*' })) if (keys.length) await r.unlink(...keys);
}

async function main() {
  await clear();
  for (const viewer of ['ada', 'bob', 'eve']) await heartbeat('cup', viewer);
  assert.deepStrictEqual(await here('cup'), ['ada', 'bob', 'eve']);

  await Promise.all(Array.from({ length: 40 }, () => count('cup', 'likes')));
  assert.strictEqual(await count('cup', 'gifts', 250), 250);
  assert.deepStrictEqual(await stats('cup'), { likes: '40', gifts: '250' });

  await sleep(HERE_MS / 2);
  await heartbeat('cup', 'ada');
  await sleep(HERE_MS / 1.5);
  assert.deepStrictEqual(await here('cup'), ['ada']); // the others were not heard of for a second

  for (let start = 0; start < 100_000; start += 1000) {
    await r.pfadd('live:viewers:cup', ...Array.from({ length: 1000 }, (_, index) => `viewer:${start + index}`));
  }
  assert.ok(Math.abs((await r.pfcount('live:viewers:cup')) - 100_003) < 3000);
  await clear();
  r.disconnect();
  console.log('ok');
}

main().catch((error) => { console.error(error); process.exit(1); });
