# redis-rb: one check an area of the client matrix.
# usage: redis_rb.rb PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
require 'redis'

PORT = ARGV.fetch(0).to_i
EVERY_BYTE = (0..255).to_a.pack('C*')

def expect(seen, wanted)
  raise "got #{seen.inspect[0, 200]}, expected #{wanted.inspect[0, 200]}" unless seen == wanted
end

def raises(start)
  yield
rescue Redis::CommandError => e
  raise "got the error #{e.message}, expected #{start}" unless e.message.start_with?(start)
else
  raise "no error, expected #{start}"
end

def other(**options)
  r = Redis.new(port: PORT, **options)
  yield r
ensure
  r.close
end

AREAS = {
  connect: lambda do |r|
    expect(r.ping, 'PONG')
    other(url: "redis://worker:secret@127.0.0.1:#{PORT}/3", id: 'matrix') do |o|
      expect([o.call('ACL', 'WHOAMI'), o.call('CLIENT', 'GETNAME')], %w[worker matrix])
      expect([o.set('only-in-3', 1), r.get('only-in-3')], ['OK', nil])
      o.flushdb
    end
    raises('WRONGPASS') { r.auth('worker', 'x') }
  end,
  strings: lambda do |r|
    expect(r.set('s', 'héllo', ex: 100), 'OK')
    expect([r.get('s'), r.ttl('s'), r.get('none'), r.set('s', 'x', nx: true)], ['héllo', 100, nil, false])
    expect([r.incrby('n', 40), r.decr('n'), r.incrbyfloat('f', 2.5)], [40, 39, 2.5])
    expect([r.mset('a', 1, 'b', 2), r.mget('a', 'none', 'b'), r.getdel('a')], ['OK', ['1', nil, '2'], '1'])
  end,
  pipeline: lambda do |r|
    expect(r.pipelined { |p| 2000.times { p.incr('counter') } }, (1..2000).to_a)
    raises('WRONGTYPE') { r.pipelined { |p| p.incr('counter'); p.lpush('counter', 'x'); p.incr('counter') } }
    expect(r.get('counter'), '2002')
  end,
  transaction: lambda do |r|
    other do |o|
      r.watch('t')
      o.set('t', 1)
      expect(r.multi { |m| m.incr('t') }, nil)
    end
    r.watch('t')
    expect(r.multi { |m| m.incr('t'); m.lpush('tl', 'a') }, [2, 1])
    raises('ERR unknown command') { r.multi { |m| m.call('NOSUCH') } }
  end,
  list: lambda do |r|
    expect([r.rpush('l', %w[a b c]), r.lpop('l'), r.lrange('l', 0, -1)], [3, 'a', %w[b c]])
    expect([r.lmove('l', 'm', 'RIGHT', 'LEFT'), r.llen('m'), r.blpop('q', timeout: 0.05)], ['c', 1, nil])
    other do |o|
      pusher = Thread.new { sleep 0.1; o.rpush('q', 'work') }
      expect(r.blpop('none', 'q', timeout: 5), %w[q work])
      pusher.join
    end
  end,
  hash: lambda do |r|
    expect([r.hset('h', { 'f' => 1, 'g' => 'two' }), r.hgetall('h')], [2, { 'f' => '1', 'g' => 'two' }])
    expect([r.hmget('h', 'f', 'none'), r.hincrby('h', 'f', 9), r.hdel('h', 'g'), r.hlen('h')], [['1', nil], 10, 1, 1])
  end,
  set: lambda do |r|
    expect([r.sadd('s1', %w[a b]), r.sadd('s2', %w[b c]), r.smembers('s1').sort], [2, 2, %w[a b]])
    expect([r.sinter('s1', 's2'), r.sdiff('s1', 's2'), r.smismember('s1', 'a', 'z')], [%w[b], %w[a], [true, false]])
  end,
  zset: lambda do |r|
    expect(r.zadd('z', [[1, 'a'], [2.5, 'b'], ['+inf', 'c']]), 3)
    expect(r.zrange('z', 0, -1, with_scores: true), [['a', 1.0], ['b', 2.5], ['c', Float::INFINITY]])
    expect([r.zrank('z', 'c'), r.zincrby('z', 2, 'a'), r.zrangebyscore('z', '(2.5', '+inf')], [2, 3.0, %w[a c]])
  end,
  stream: lambda do |r|
    ids = (0..2).map { |i| r.xadd('x', { n: i }) }
    expect([r.xlen('x'), r.xrange('x').map(&:first), r.xgroup(:create, 'x', 'g', '0')], [3, ids, 'OK'])
    expect(r.xreadgroup('g', 'one', 'x', '>', count: 2), { 'x' => [[ids[0], { 'n' => '0' }], [ids[1], { 'n' => '1' }]] })
    expect([r.xack('x', 'g', ids[0]), r.xpending('x', 'g')['size']], [1, 1])
    expect(r.xautoclaim('x', 'g', 'two', 0, '0-0')['entries'], [[ids[1], { 'n' => '1' }]])
  end,
  scan: lambda do |r|
    r.mset(*(0...1000).flat_map { |i| ["scan:#{i}", i] })
    expect(r.scan_each(match: 'scan:*', count: 70).to_a.uniq.size, 1000)
    r.hset('hs', (0...700).to_h { |i| ["f#{i}", i] })
    r.zadd('zs', (0...700).map { |i| [i, "m#{i}"] })
    expect([r.hscan_each('hs').to_h.size, r.zscan_each('zs').to_h.size], [700, 700])
  end,
  pubsub: lambda do |r|
    heard = []
    other do |o|
      o.subscribe('news') do |on|
        on.subscribe { |_, count| expect([count, r.publish('news', EVERY_BYTE)], [1, 1]) }
        on.message { |channel, data| heard << [channel, data.b == EVERY_BYTE]; o.unsubscribe }
      end
      o.psubscribe('n?ws*') do |on|
        on.psubscribe { r.publish('news', 'x') }
        on.pmessage { |*words| heard << words; o.punsubscribe }
      end
      expect([heard, o.ping], [[['news', true], ['n?ws*', 'news', 'x']], 'PONG'])
    end
  end,
  script: lambda do |r|
    text = "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}"
    r.script(:flush)
    raises('NOSCRIPT') { r.evalsha(Digest::SHA1.hexdigest(text), ['k'], ['v']) }
    expect(r.eval(text, ['k'], ['v']), ['k', 7, nil])
    expect(r.evalsha(Digest::SHA1.hexdigest(text), ['k'], ['v']), ['k', 7, nil])
    raises('MINE words') { r.eval("return redis.error_reply('MINE words')") }
  end,
  binary: lambda do |r|
    expect([r.set(EVERY_BYTE, EVERY_BYTE), r.get(EVERY_BYTE).b, r.set('', ''), r.get('')], ['OK', EVERY_BYTE, 'OK', ''])
  end,
  big: lambda do |r|
    value = EVERY_BYTE * 65_536
    expect([r.set('big', value), r.get('big').b == value], ['OK', true])
    expect([r.rpush('lb', (0...20_000).to_a), r.lrange('lb', 0, -1).size], [20_000, 20_000])
  end,
  errors: lambda do |r|
    r.set('e', 'x')
    raises('WRONGTYPE ') { r.lpush('e', 1) }
    raises('ERR value is not an integer or out of range') { r.incr('e') }
    raises("ERR wrong number of arguments for 'get' command") { r.call('GET') }
    expect(r.ping, 'PONG')
  end
}.freeze

puts "VERSION #{Redis::VERSION}"
redis = Redis.new(port: PORT)
redis.flushall
failed = 0
AREAS.each do |name, area|
  area.call(redis)
  puts "PASS #{name}"
rescue StandardError => e
  failed = 1
  puts "FAIL #{name}: #{e.class} #{e.message} #{e.backtrace.first}"
end
exit(failed)
