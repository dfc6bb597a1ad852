// Redlock: one resource, many who want it; extending, losing, and a majority of three databases' worth of clients.
const Redis = require('ioredis');
const Redlock = require('redlock');
const { check, host, port, run, sleep } = require('./common');

async function main() {
  const r = new Redis({ host, port });
  const patient = new Redlock([r], { retryCount: 100, retryDelay: 10, retryJitter: 5 });
  const hasty = new Redlock([r], { retryCount: 0 });
  for (const one of [patient, hasty]) one.on('clientError', (error) => check('no client error', error.message, ''));

  const lock = await patient.lock('res', 5000);
  const ttl = await r.pttl('res');
  check('held', [ttl > 4000 && ttl <= 5000, await r.get('res')], [true, lock.value]);
  check('taken', (await hasty.lock('res', 1000).catch((e) => e)).name, 'LockError');
  const longer = await lock.extend(9000);
  check('extended', await r.pttl('res') > 8000, true);
  await longer.unlock();
  check('free', await r.exists('res'), 0);

  const short = await hasty.lock('res', 100);
  await sleep(150);
  check('ended by itself', await r.exists('res'), 0);
  const thief = await hasty.lock('res', 5000);
  check('lost', (await short.extend(1000).catch((e) => e)).name, 'LockError');
  check('cannot end another one\'s', [(await short.unlock().catch((e) => e)).name, await r.get('res')], ['LockError', thief.value]);
  await thief.unlock();

  const both = await hasty.lock(['one', 'two'], 5000);
  check('two at once', await r.exists('one', 'two'), 2);
  check('one of them is taken', (await hasty.lock(['two', 'three'], 5000).catch((e) => e)).name, 'LockError');
  check('none is left over', await r.exists('three'), 0);
  await both.unlock();

  const seen = [];
  let inside = 0;
  await Promise.all(Array.from({ length: 20 }, async (_, n) => {
    const mine = await patient.lock('critical', 5000);
    inside += 1;
    seen.push(inside);
    await sleep(3);
    inside -= 1;
    await mine.unlock();
    return n;
  }));
  check('one at a time', seen, Array(20).fill(1));

  // Three databases stand for three servers: with one of them taken there is a majority, with two there is not.
  const three = [1, 2, 3].map((db) => new Redis({ host, port, db }));
  const majority = new Redlock(three, { retryCount: 0 });
  majority.on('clientError', () => {});
  await three[0].set('vote', 'other');
  const won = await majority.lock('vote', 5000);
  check('two of three', [await three[0].get('vote'), await three[2].get('vote')], ['other', won.value]);
  await won.unlock().catch(() => {});
  await three[1].set('vote', 'other');
  check('one of three', (await majority.lock('vote', 5000).catch((e) => e)).name, 'LockError');
  check('given back', await three[2].exists('vote'), 0);
  for (const client of [r, ...three]) client.disconnect();
}

run(main);
