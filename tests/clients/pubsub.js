// ioredis and node-redis: channels, keyspace events, transactions and waiting.
// usage: node pubsub.js PORT; prints one PASS or FAIL line a check; exit code 1 when one fails.
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

// The next `count` events of a name, as lists of their arguments.
function collect(emitter, name, count) {
  const got = [];
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(got), 3000);
    emitter.on(name, (...args) => {
      got.push(args);
      if (got.length === count) {
        clearTimeout(timer);
        resolve(got);
      }
    });
  });
}

async function channels(r) {
  const listener = r.duplicate();
  check('subscribe', await listener.subscribe('news', 'sport'), 2);
  check('psubscribe', await listener.psubscribe('n*'), 3);
  const plain = collect(listener, 'message', 2);
  const matched = collect(listener, 'pmessage', 1);
  check('publish', [await r.publish('news', 'hello'), await r.publish('sport', 'goal')], [2, 1]);
  check('messages', await plain, [['news', 'hello'], ['sport', 'goal']]);
  check('matched', await matched, [['n*', 'news', 'hello']]);
  check('unsubscribe', [await listener.unsubscribe('news', 'sport'), await listener.punsubscribe('n*')], [1, 0]);
  check('an ordinary connection again', await listener.set('k', 'v'), 'OK');
  check('numsub', await r.pubsub('NUMSUB', 'news'), ['news', 0]);
  const shard = collect(listener, 'smessage', 1);
  await listener.ssubscribe('part');
  await r.spublish('part', 'x');
  check('shard messages', await shard, [['part', 'x']]);
  listener.disconnect();
}

async function burst(r) {
  const listeners = [];
  for (let i = 0; i < 20; i += 1) {
    const listener = r.duplicate();
    await listener.subscribe('burst');
    listeners.push(listener);
  }
  const received = listeners.map((listener) => collect(listener, 'message', 500));
  const pipeline = r.pipeline();
  for (let n = 0; n < 500; n += 1) pipeline.publish('burst', n);
  check('burst receivers', (await pipeline.exec()).every(([error, count]) => !error && count === 20), true);
  const wanted = Array.from({ length: 500 }, (_, n) => ['burst', String(n)]);
  for (const got of await Promise.all(received)) assert.deepStrictEqual(got, wanted);
  check('burst in order', true, true);
  listeners.forEach((listener) => listener.disconnect());
}

async function events(r) {
  await r.config('SET', 'notify-keyspace-events', 'Ex');
  const listener = r.duplicate();
  await listener.subscribe('__keyevent@0__:expired');
  const expired = collect(listener, 'message', 1);
  await r.set('gone', 1, 'PX', 30);
  check('expired', await expired, [['__keyevent@0__:expired', 'gone']]);
  await r.config('SET', 'notify-keyspace-events', '');
  listener.disconnect();
}

async function waiting(r) {
  const worker = r.duplicate();
  const job = worker.blpop('jobs', 5);
  const replies = await r.multi().rpush('jobs', 'one', 'two').llen('jobs').exec();
  check('multi', replies, [[null, 2], [null, 2]]);
  check('blpop', await job, ['jobs', 'one']);
  const moved = worker.blmove('jobs', 'done', 'LEFT', 'RIGHT', 5);
  check('blmove', [await moved, await r.lrange('done', 0, -1)], ['two', ['two']]);
  await worker.watch('jobs');
  await r.rpush('jobs', 'three');
  check('watch', await worker.multi().set('never', 1).exec(), null);
  check('timeout', await worker.bzpopmin('nobody', 0.05), null);
  worker.disconnect();
}

async function withNodeRedis() {
  const r = nodeRedis.createClient({ url: `redis://127.0.0.1:${port}` });
  await r.connect();
  const listener = r.duplicate();
  await listener.connect();
  const got = [];
  const seen = new Promise((resolve) => {
    listener.pSubscribe('nr:*', (message, channel) => {
      got.push([channel, message]);
      if (got.length === 2) resolve();
    }).then(() => r.publish('nr:a', '1')).then(() => r.publish('nr:b', '2'));
  });
  await seen;
  check('node-redis messages', got, [['nr:a', '1'], ['nr:b', '2']]);
  await listener.pUnsubscribe('nr:*');
  check('node-redis after the end', await listener.ping(), 'PONG');
  await listener.quit();
  await r.quit();
}

async function main() {
  const r = new Redis({ port, maxRetriesPerRequest: 1 });
  await r.flushall();
  for (const part of [channels, burst, events, waiting, withNodeRedis]) {
    try {
      await part(r);
    } catch (error) {
      check(part.name, String(error), 'no exception');
    }
  }
  r.disconnect();
  process.exit(failures ? 1 : 0);
}

main();
