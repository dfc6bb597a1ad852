<?php
// phpredis: one check an area of the client matrix.
// usage: php phpredis.php PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
declare(strict_types=1);

$port = (int) $argv[1];
define('EVERY_BYTE', implode('', array_map('chr', range(0, 255))));

function expect($seen, $wanted): void
{
    if ($seen !== $wanted) {
        throw new Exception('got ' . substr(json_encode($seen), 0, 200) . ', expected ' . substr(json_encode($wanted), 0, 200));
    }
}

/** Where phpredis gives false, the error's text stands in the connection. */
function refused(Redis $r, string $start, $reply): void
{
    $text = (string) $r->getLastError();
    $r->clearLastError();
    expect([$reply, substr($text, 0, strlen($start))], [false, $start]);
}

function make(int $database = 0, array $auth = null): Redis
{
    global $port;
    $r = new Redis();
    $r->connect('127.0.0.1', $port, 5.0);
    if ($auth) {
        $r->auth($auth);
    }
    $r->select($database);
    return $r;
}

/** Runs the words of one command on a connection of its own, in another process, after some milliseconds. */
function later(int $ms, string ...$words)
{
    global $port;
    $code = '$r = new Redis(); $r->connect("127.0.0.1", (int) $argv[1]); usleep(1000 * (int) $argv[2]); '
        . '$r->rawCommand(...array_slice($argv, 3));';
    $pipes = [];
    return proc_open(['php', '-r', $code, '--', (string) $port, (string) $ms, ...$words], [], $pipes);
}

$areas = [
    'connect' => function (Redis $r) {
        expect($r->ping(), true);
        $other = make(3, ['worker', 'secret']);
        expect([$other->acl('whoami'), $other->client('setname', 'matrix'), $other->client('getname')], ['worker', true, 'matrix']);
        expect([$other->set('only-in-3', '1'), $r->get('only-in-3'), $other->flushDB()], [true, false, true]);
        try {
            expect($other->auth(['worker', 'x']), 'an exception');
        } catch (RedisException $error) {
            expect(substr($error->getMessage(), 0, 9), 'WRONGPASS');
        }
    },
    'strings' => function (Redis $r) {
        expect([$r->set('s', 'héllo', ['EX' => 100]), $r->get('s'), $r->ttl('s'), $r->get('none')], [true, 'héllo', 100, false]);
        expect([$r->set('s', 'x', ['NX']), $r->incrBy('n', 40), $r->decr('n'), $r->incrByFloat('f', 2.5)], [false, 40, 39, 2.5]);
        expect([$r->mset(['a' => '1', 'b' => '2']), $r->mget(['a', 'none', 'b'])], [true, ['1', false, '2']]);
    },
    'pipeline' => function (Redis $r) {
        $pipe = $r->multi(Redis::PIPELINE);
        for ($i = 0; $i < 2000; $i++) {
            $pipe->incr('counter');
        }
        $replies = $pipe->lPush('counter', 'x')->get('counter')->exec();
        expect($replies, [...range(1, 2000), false, '2000']);
        $r->clearLastError();
    },
    'transaction' => function (Redis $r) {
        $other = make();
        $r->watch('t');
        $other->set('t', '1');
        expect($r->multi()->incr('t')->exec(), false);
        $r->watch('t');
        expect($r->multi()->incr('t')->lPush('tl', 'a')->exec(), [2, 1]);
    },
    'list' => function (Redis $r) {
        expect([$r->rPush('l', 'a', 'b', 'c'), $r->lPop('l'), $r->lRange('l', 0, -1)], [3, 'a', ['b', 'c']]);
        expect([$r->rpoplpush('l', 'm'), $r->lLen('m'), $r->blPop(['q'], 1)], ['c', 1, []]);
        $process = later(200, 'RPUSH', 'q', 'work');
        expect($r->blPop(['none', 'q'], 5), ['q', 'work']);
        proc_close($process);
    },
    'hash' => function (Redis $r) {
        expect([$r->hMSet('h', ['f' => 1, 'g' => 'two']), $r->hGetAll('h')], [true, ['f' => '1', 'g' => 'two']]);
        expect([$r->hMGet('h', ['f', 'none']), $r->hIncrBy('h', 'f', 9), $r->hDel('h', 'g'), $r->hLen('h')],
            [['f' => '1', 'none' => false], 10, 1, 1]);
    },
    'set' => function (Redis $r) {
        expect([$r->sAdd('s1', 'a', 'b'), $r->sAdd('s2', 'b', 'c'), $r->sInter('s1', 's2'), $r->sDiff('s1', 's2')], [2, 2, ['b'], ['a']]);
        $members = $r->sMembers('s1');
        sort($members);
        expect([$members, $r->sIsMember('s1', 'z'), $r->sCard('s1')], [['a', 'b'], false, 2]);
    },
    'zset' => function (Redis $r) {
        expect([$r->zAdd('z', 1, 'a', 2.5, 'b'), $r->zRange('z', 0, -1, true)], [2, ['a' => 1.0, 'b' => 2.5]]);
        expect([$r->zRank('z', 'b'), $r->zIncrBy('z', 2, 'a'), $r->zRangeByScore('z', '(2.5', '+inf')], [1, 3.0, ['a']]);
    },
    'stream' => function (Redis $r) {
        $ids = array_map(fn ($i) => $r->xAdd('x', '*', ['n' => (string) $i]), [0, 1, 2]);
        expect([$r->xLen('x'), array_keys($r->xRange('x', '-', '+')), $r->xGroup('CREATE', 'x', 'g', '0')], [3, $ids, true]);
        expect($r->xReadGroup('g', 'one', ['x' => '>'], 2), ['x' => [$ids[0] => ['n' => '0'], $ids[1] => ['n' => '1']]]);
        expect([$r->xAck('x', 'g', [$ids[0]]), $r->xPending('x', 'g')[0]], [1, 1]);
        expect($r->xClaim('x', 'g', 'two', 0, [$ids[1]], []), [$ids[1] => ['n' => '1']]);
    },
    'scan' => function (Redis $r) {
        $r->setOption(Redis::OPT_SCAN, (string) Redis::SCAN_RETRY);
        $values = array_map('strval', range(0, 999));
        $r->mset(array_combine(array_map(fn ($i) => "scan:$i", $values), $values));
        [$keys, $at] = [[], null];
        while ($found = $r->scan($at, 'scan:*', 70)) {
            array_push($keys, ...$found);
        }
        $r->sAdd('ss', ...$values);
        [$members, $at] = [[], null];
        while ($found = $r->sScan('ss', $at)) {
            array_push($members, ...$found);
        }
        expect([count(array_unique($keys)), count(array_unique($members))], [1000, 1000]);
    },
    'pubsub' => function (Redis $r) {
        // The library's loop ends by an error alone: here, that nothing more comes.
        $heard = [];
        foreach (['subscribe' => ['news'], 'psubscribe' => ['n?ws*']] as $how => $channels) {
            $process = later(200, 'PUBLISH', 'news', $how);
            try {
                $other = make();
                $other->setOption(Redis::OPT_READ_TIMEOUT, '0.6');
                $other->$how($channels, function ($o, ...$words) use (&$heard) {
                    $heard[] = $words;
                });
            } catch (RedisException $error) {
                proc_close($process);
            }
        }
        expect($heard, [['news', 'subscribe'], ['n?ws*', 'news', 'psubscribe']]);
    },
    'script' => function (Redis $r) {
        $text = "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}";
        $r->script('flush');
        refused($r, 'NOSCRIPT', $r->evalSha(sha1($text), ['k', 'v'], 1));
        expect($r->eval($text, ['k', 'v'], 1), ['k', 7, false]);
        expect($r->evalSha(sha1($text), ['k', 'v'], 1), ['k', 7, false]);
        refused($r, 'ERR my words', $r->eval("return redis.error_reply('ERR my words')"));
    },
    'binary' => function (Redis $r) {
        expect([$r->set(EVERY_BYTE, EVERY_BYTE), $r->get(EVERY_BYTE) === EVERY_BYTE, $r->set('', ''), $r->get('')], [true, true, true, '']);
    },
    'big' => function (Redis $r) {
        $value = str_repeat(EVERY_BYTE, 65536);
        expect([$r->set('big', $value), $r->get('big') === $value], [true, true]);
        expect([$r->rPush('lb', ...array_map('strval', range(1, 20000))), count($r->lRange('lb', 0, -1))], [20000, 20000]);
    },
    'errors' => function (Redis $r) {
        $r->set('e', 'x');
        refused($r, 'WRONGTYPE ', $r->lPush('e', 'x'));
        refused($r, 'ERR value is not an integer or out of range', $r->incr('e'));
        refused($r, "ERR wrong number of arguments for 'get' command", $r->rawCommand('GET'));
        expect($r->ping(), true);
    },
];

ini_set('memory_limit', '512M');
echo 'VERSION ', phpversion('redis'), "\n";
$r = make();
$r->flushAll();
$failed = 0;
foreach ($areas as $name => $area) {
    try {
        $area($r);
        echo "PASS $name\n";
    } catch (Throwable $error) {
        $failed = 1;
        echo "FAIL $name: ", get_class($error), ' ', $error->getMessage(), ' line ', $error->getLine(), "\n";
    }
}
exit($failed);
