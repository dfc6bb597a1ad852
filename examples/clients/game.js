// A game: leaderboard, players nearby, friends in common, a lock, a rate limit.
// usage: node game.js [PORT]; needs ioredis. It touches only keys that begin with "game:".
const assert = require('node:assert');
const { randomBytes } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const Redis = require('ioredis');

const r = new Redis({ port: Number(process.argv[2] ?? 6379) });

// Keeps a player's best result.
const score = (player, points) => r.zadd('game:board', 'GT', points, player);
const top = (count) => r.zrange('game:board', 0, count - 1, 'REV', 'WITHSCORES');
const place = async (player) => (await r.zrevrank('game:board', player)) + 1;

const move = (player, longitude, latitude) => r.geoadd('game:map', longitude, latitude, player);

async function nearby(player, km) {
  const found = await r.geosearch('game:map', 'FROMMEMBER', player, 'BYRADIUS', km, 'km', 'ASC');
  return found.filter((name) => name !== player);
}

const befriend = (one, other) => r.pipeline()
  .sadd(`game:friends:${one}`, other)
  .sadd(`game:friends:${other}`, one)
  .exec();
const commonFriends = (one, other) => r.sinter(`game:friends:${one}`, `game:friends:${other}`);

// A token if nobody holds the lock, or null. It ends by itself if its holder dies.
async function lock(name, ms) {
  const token = randomBytes(16).toString('hex');
  return (await r.set(`game:lock:${name}`, token, 'PX', ms, 'NX')) && token;
}

// Deletes the lock only if it is still ours: one command, no script.
const unlock = async (name, token) => (await r.call('DELIFEQ', `game:lock:${name}`, token)) === 1;

// At most `limit` calls in a window; EXPIRE NX starts the window with the first call.
async function allowed(player, limit, seconds) {
  const key = `game:rate:${player}`;
  const [[, calls]] = await r.pipeline().incr(key).expire(key, seconds, 'NX').exec();
  return calls <= limit;
}

async function clear() {
  for await (const keys of r.scanStream({ match: 'game:*' })) if (keys.length) await r.unlink(...keys);
}

async function main() {
  await clear();
  for (const [player, points] of [['ada', 900], ['bob', 1200], ['eve', 700], ['bob', 300]]) await score(player, points);
  assert.deepStrictEqual(await top(2), ['bob', '1200', 'ada', '900']);
  assert.strictEqual(await place('eve'), 3);

  await move('ada', 13.4050, 52.5200); // Berlin
  await move('bob', 13.0645, 52.3906); // Potsdam
  await move('eve', 2.3522, 48.8566); // Paris
  assert.deepStrictEqual(await nearby('ada', 50), ['bob']);
  assert.deepStrictEqual(await nearby('ada', 2000), ['bob', 'eve']);

  await befriend('ada', 'eve');
  await befriend('bob', 'eve');
  assert.deepStrictEqual(await commonFriends('ada', 'bob'), ['eve']);

  const token = await lock('chest', 5000);
  assert.ok(token);
  assert.strictEqual(await lock('chest', 5000), null);
  assert.strictEqual(await unlock('chest', "somebody else's token"), false);
  assert.strictEqual(await unlock('chest', token), true);
  const stale = await lock('chest', 50);
  await sleep(60);
  const fresh = await lock('chest', 5000);
  assert.ok(fresh);
  assert.strictEqual(await unlock('chest', stale), false); // the first holder came too late and harms nobody
  assert.strictEqual(await r.call('DELEX', 'game:lock:chest', 'IFEQ', fresh), 1); // the same, in Redis 8.4's words

  const calls = [];
  for (let call = 0; call < 5; call += 1) calls.push(await allowed('bob', 3, 1));
  assert.deepStrictEqual(calls, [true, true, true, false, false]);
  await sleep(1010);
  assert.strictEqual(await allowed('bob', 3, 1), true);
  await clear();
  r.disconnect();
  console.log('ok');
}

main().catch((error) => { console.error(error); process.exit(1); });
