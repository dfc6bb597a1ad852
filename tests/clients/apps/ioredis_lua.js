// ioredis: commands written in Lua, pipelines with them, transactions, and patterns of channels meanwhile.
const { createHash } = require('node:crypto');
const Redis = require('ioredis');
const { check, host, port, run, until } = require('./common');

const sha = (text) => createHash('sha1').update(text).digest('hex');

// A bucket of tokens: cjson, TIME and a hash.
const TAKE = `
local now = redis.call('TIME')
local state = redis.call('HMGET', KEYS[1], 'tokens')
local tokens = tonumber(state[1] or ARGV[1])
if tokens < 1 then return cjson.encode({ok = false, left = tokens}) end
redis.call('HSET', KEYS[1], 'tokens', tokens - 1, 'at', now[1])
redis.call('EXPIRE', KEYS[1], 60)
return cjson.encode({ok = true, left = tokens - 1})`;

// Moves everything of a sorted set that is due into a list, as queues do; unpack with hundreds of arguments.
const DUE = `
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 500)
if #due > 0 then
  redis.call('ZREM', KEYS[1], unpack(due))
  redis.call('RPUSH', KEYS[2], unpack(due))
  redis.call('PUBLISH', 'due:' .. KEYS[2], #due)
end
return #due`;

const SHAPES = `return {1, 'two', {3, {'four'}}, true, false, 5.9, cjson.null, redis.status_reply('FINE')}`;

async function main() {
  const r = new Redis({ host, port, keyPrefix: 'app:' });
  r.defineCommand('take', { numberOfKeys: 1, lua: TAKE });
  r.defineCommand('due', { numberOfKeys: 2, lua: DUE });
  r.defineCommand('shapes', { numberOfKeys: 0, lua: SHAPES });
  r.defineCommand('peek', { numberOfKeys: 1, lua: `return redis.call('GET', KEYS[1])`, readOnly: true });
  r.defineCommand('fails', { numberOfKeys: 1, lua: `redis.call('SET', KEYS[1], 'kept'); return redis.call('LPUSH', KEYS[1], 1)` });
  r.defineCommand('binary', { numberOfKeys: 0, lua: `return ARGV[1] .. string.char(0, 255) .. #ARGV[1]` });
  r.defineCommand('packed', { numberOfKeys: 0, lua: `local t = cmsgpack.unpack(ARGV[1]); t.n = t.n + 1; return cmsgpack.pack(t)` });

  await r.script('FLUSH');
  const taken = [];
  for (let n = 0; n < 4; n += 1) taken.push(JSON.parse(await r.take('bucket', 3)));
  check('token bucket', taken, [{ ok: true, left: 2 }, { ok: true, left: 1 }, { ok: true, left: 0 }, { ok: false, left: 0 }]);
  check('it expires', await r.ttl('bucket'), 60);
  check('loaded by the fallback', await r.script('EXISTS', sha(TAKE), sha(DUE)), [1, 0]);
  check('shapes of replies', await r.shapes(), [1, 'two', [3, ['four']], 1, null, 5, null, 'FINE']);
  check('binary', await r.binaryBuffer(Buffer.from([1, 254])), Buffer.from([1, 254, 0, 255, 50]));
  check('cmsgpack', await r.packedBuffer(Buffer.from([0x81, 0xa1, 0x6e, 0x2a])), Buffer.from([0x81, 0xa1, 0x6e, 0x2b]));

  await r.script('FLUSH');
  const replies = await r.pipeline().set('k', 'v').peek('k').take('p', 2).take('p', 2).peek('k').exec();
  const [set, first, one, two, last] = replies.map(([error, value]) => error?.message ?? value);
  check('scripts in a pipeline, not loaded', [set, first, JSON.parse(one), JSON.parse(two), last],
    ['OK', 'v', { ok: true, left: 1 }, { ok: true, left: 0 }, 'v']);
  const transaction = await r.multi().incr('n').peek('k').incr('n').exec();
  check('scripts in a transaction', transaction, [[null, 1], [null, 'v'], [null, 2]]);

  const error = await r.fails('f').catch((e) => e.message);
  check('error of a command', error.startsWith('WRONGTYPE Operation against a key holding the wrong kind of value'), true);
  check('what was written before it stays', await r.get('f'), 'kept');
  const unknown = await r.eval(`return redis.call('NOSUCH')`, 0).catch((e) => e.message);
  check('unknown command', unknown.startsWith('ERR Unknown Redis command called from script'), true);
  check('pcall', await r.eval(`local e = redis.pcall('INCR', KEYS[1]); return e['err']`, 1, 'k'), 'ERR value is not an integer or out of range');
  check('noscript', (await r.evalsha('f'.repeat(40), 0).catch((e) => e.message)).split(' ')[0], 'NOSCRIPT');

  const listener = new Redis({ host, port });
  const heard = [];
  listener.on('pmessage', (pattern, channel, message) => heard.push([pattern, channel, message]));
  await listener.psubscribe('due:*');
  await r.zadd('delayed', ...Array.from({ length: 600 }, (_, n) => [n, `job${n}`]).flat());
  check('many arguments', [await r.due('delayed', 'ready', 549), await r.due('delayed', 'ready', 549), await r.due('delayed', 'ready', 549)], [500, 50, 0]);
  check('in order', await r.lrange('ready', 498, 501), ['job498', 'job499', 'job500', 'job501']);
  await until(() => heard.length === 2);
  check('messages from a script', heard, [['due:*', 'due:app:ready', '500'], ['due:*', 'due:app:ready', '50']]);

  const auto = new Redis({ host, port, enableAutoPipelining: true });
  auto.defineCommand('addup', { numberOfKeys: 1, lua: `return redis.call('INCRBY', KEYS[1], ARGV[1])` });
  const sums = await Promise.all(Array.from({ length: 500 }, (_, n) => auto.addup('sum', n)));
  check('five hundred at once', [sums.length, Math.max(...sums), await auto.get('sum')], [500, 124750, '124750']);
  for (const client of [r, listener, auto]) client.disconnect();
}

run(main);
