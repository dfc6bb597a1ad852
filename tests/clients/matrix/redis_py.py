"""redis-py with blocking connections, in RESP2 and RESP3: one check an area of the client matrix.

usage: redis_py.py PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
"""
import sys
import threading

import redis

PORT = int(sys.argv[1])
EVERY_BYTE = bytes(range(256))


def expect(seen, wanted):
    if seen != wanted:
        raise AssertionError(f"got {seen!r:.200}, expected {wanted!r:.200}")


def raises(kind, start, call):
    try:
        call()
    except kind as error:
        if not str(error).startswith(start):
            raise AssertionError(f"got the error {error!r}, expected one that begins with {start!r}") from None
    else:
        raise AssertionError(f"no error, expected {start!r}")


def text(reply):  # the library decodes some replies in one protocol and not in the other
    return reply.decode() if isinstance(reply, bytes) else reply


def connect(r, make):
    expect(r.ping(), True)
    with make(username="worker", password="secret", db=3, client_name="matrix") as other:
        expect((text(other.acl_whoami()), text(other.client_getname())), ("worker", "matrix"))
        expect((other.set("only-in-3", 1), r.get("only-in-3")), (True, None))
    raises(redis.AuthenticationError, "invalid username-password pair", lambda: make(username="worker", password="x").ping())
    with redis.Redis.from_url(f"redis://worker:secret@127.0.0.1:{PORT}/3") as other:
        expect(other.get("only-in-3"), b"1")
        other.flushdb()


def strings(r, make):
    expect(r.set("s", "héllo", ex=100), True)
    expect((r.get("s"), r.ttl("s"), r.get("none")), ("héllo".encode(), 100, None))
    expect(r.set("s", "x", nx=True), None)
    expect((r.incrby("n", 40), r.decr("n"), r.incrbyfloat("f", 2.5)), (40, 39, 2.5))
    expect((r.mset({"a": 1, "b": 2}), r.mget("a", "none", "b")), (True, [b"1", None, b"2"]))
    expect((r.setrange("s", 0, "H"), r.getrange("s", 0, 0), r.getdel("a"), r.exists("a", "b")), (6, b"H", b"1", 1))


def pipeline(r, make):
    pipe = r.pipeline(transaction=False)
    for i in range(2000):
        pipe.incr("counter")
    pipe.lpush("counter", "x").get("counter")
    replies = pipe.execute(raise_on_error=False)
    expect(replies[:2000], list(range(1, 2001)))
    expect((type(replies[2000]), replies[2001]), (redis.ResponseError, b"2000"))


def transaction(r, make):
    with make() as other, r.pipeline() as pipe:
        pipe.watch("t")
        other.set("t", 1)
        pipe.multi()
        pipe.incr("t")
        raises(redis.WatchError, "", pipe.execute)
        expect(r.get("t"), b"1")
    expect(r.transaction(lambda pipe: (pipe.get("t"), pipe.multi(), pipe.incr("t").lpush("tl", "a")), "t"), [2, 1])


def lists(r, make):
    expect((r.rpush("l", "a", "b", "c"), r.lpop("l"), r.lrange("l", 0, -1)), (3, b"a", [b"b", b"c"]))
    expect((r.lmove("l", "m", "RIGHT", "LEFT"), r.lpos("l", "b"), r.llen("m")), (b"c", 0, 1))
    expect(r.blpop("q", timeout=0.05), None)
    with make() as other:
        timer = threading.Timer(0.1, lambda: other.rpush("q", "work"))
        timer.start()
        expect(r.blpop(["none", "q"], timeout=5) in ([b"q", b"work"], (b"q", b"work")), True)
        timer.join()


def hashes(r, make):
    expect(r.hset("h", mapping={"f": 1, "g": "two"}), 2)
    expect((r.hgetall("h"), r.hmget("h", "f", "none")), ({b"f": b"1", b"g": b"two"}, [b"1", None]))
    expect((r.hincrby("h", "f", 9), r.hdel("h", "g"), r.hexists("h", "g"), r.hlen("h")), (10, 1, False, 1))
    expect((r.hexpire("h", 100, "f"), r.httl("h", "f", "none")), ([1], [100, -2]))


def sets(r, make):
    expect((r.sadd("s1", "a", "b"), r.sadd("s2", "b", "c"), r.smembers("s1")), (2, 2, {b"a", b"b"}))
    expect((r.sinter("s1", "s2"), r.sunion("s1", "s2"), r.sdiff("s1", "s2")), ({b"b"}, {b"a", b"b", b"c"}, {b"a"}))
    expect((bool(r.sismember("s1", "a")), r.smismember("s1", ["a", "z"]), r.srem("s1", "a"), r.scard("s1")), (True, [1, 0], 1, 1))


def sorted_sets(r, make):
    expect(r.zadd("z", {"a": 1, "b": 2.5, "c": "inf"}), 3)
    pairs = [tuple(pair) for pair in r.zrange("z", 0, -1, withscores=True)]
    expect(pairs, [(b"a", 1.0), (b"b", 2.5), (b"c", float("inf"))])
    expect((r.zscore("z", "b"), r.zrank("z", "c"), r.zincrby("z", 2, "a"), r.zcount("z", 2, 3)), (2.5, 2, 3.0, 2))
    expect((r.zrangebyscore("z", "(2.5", "+inf"), r.zrem("z", "a"), r.zcard("z")), ([b"a", b"c"], 1, 2))


def streams(r, make):
    ids = [r.xadd("x", {"n": i, "b": EVERY_BYTE}) for i in range(3)]
    expect((r.xlen("x"), [entry[0] for entry in r.xrange("x")]), (3, ids))
    expect(r.xgroup_create("x", "g", id="0"), True)
    got = r.xreadgroup("g", "one", {"x": ">"}, count=2)
    entries = got[0][1] if isinstance(got, list) else got[b"x"][0]
    expect([entry[0] for entry in entries], ids[:2])
    expect(entries[0][1], {b"n": b"0", b"b": EVERY_BYTE})
    expect((r.xack("x", "g", ids[0]), r.xpending("x", "g")["pending"]), (1, 1))
    expect([entry[0] for entry in r.xautoclaim("x", "g", "two", 0)[1]], [ids[1]])
    expect([c["name"] for c in r.xinfo_consumers("x", "g")], [b"one", b"two"])


def scan(r, make):
    r.mset({f"scan:{i}": i for i in range(1000)})
    expect(set(r.scan_iter("scan:*", count=70)), {f"scan:{i}".encode() for i in range(1000)})
    r.hset("hs", mapping={f"f{i}": i for i in range(700)})
    r.sadd("ss", *range(700))
    r.zadd("zs", {f"m{i}": i for i in range(700)})
    expect((len(dict(r.hscan_iter("hs"))), len(set(r.sscan_iter("ss"))), len(dict(r.zscan_iter("zs")))), (700, 700, 700))


def pubsub(r, make):
    with make() as other, other.pubsub() as p:
        p.subscribe("news")
        p.psubscribe("n?ws*")
        expect([p.get_message(timeout=5)["type"] for _ in range(2)], ["subscribe", "psubscribe"])
        expect(r.publish("news", EVERY_BYTE), 2)
        got = [p.get_message(timeout=5) for _ in range(2)]
        expect([(m["type"], m["pattern"], m["channel"], m["data"]) for m in got],
               [("message", None, b"news", EVERY_BYTE), ("pmessage", b"n?ws*", b"news", EVERY_BYTE)])
        p.unsubscribe()
        expect((p.get_message(timeout=5)["type"], r.pubsub_numsub("news")), ("unsubscribe", [(b"news", 0)]))


def scripts(r, make):
    script = r.register_script("redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false, redis.call('GET', KEYS[1])}")
    for _ in range(2):  # the second time by EVALSHA that finds nothing, which the library mends with SCRIPT LOAD
        r.script_flush()
        expect(script(keys=["k"], args=["v"]), [b"k", 7, None, b"v"])
    expect(r.script_exists(script.sha), [True])
    raises(redis.ResponseError, "my words", lambda: r.eval("return redis.error_reply('my words')", 0))


def binary(r, make):
    expect((r.set(EVERY_BYTE, EVERY_BYTE), r.get(EVERY_BYTE)), (True, EVERY_BYTE))
    expect((r.hset("hb", EVERY_BYTE, b"\r\n\0"), r.hgetall("hb")), (1, {EVERY_BYTE: b"\r\n\0"}))
    expect((r.set("", ""), r.get("")), (True, b""))


def big(r, make):
    value = EVERY_BYTE * 65536
    expect((r.set("big", value), r.get("big") == value, r.strlen("big")), (True, True, len(value)))
    expect((r.rpush("lb", *range(20000)), len(r.lrange("lb", 0, -1))), (20000, 20000))


def errors(r, make):
    raises(redis.ResponseError, "WRONGTYPE ", lambda: (r.set("e", "x"), r.lpush("e", 1)))
    raises(redis.ResponseError, "value is not an integer", lambda: r.incr("e"))
    raises(redis.ResponseError, "wrong number of arguments for 'get' command", lambda: r.execute_command("GET"))
    raises(redis.ResponseError, "unknown command 'NOSUCH'", lambda: r.execute_command("NOSUCH", "x"))
    expect(r.ping(), True)


AREAS = {"connect": connect, "strings": strings, "pipeline": pipeline, "transaction": transaction, "list": lists,
         "hash": hashes, "set": sets, "zset": sorted_sets, "stream": streams, "scan": scan, "pubsub": pubsub,
         "script": scripts, "binary": binary, "big": big, "errors": errors}


def main():
    print("VERSION", redis.__version__)
    failed = False
    for protocol in (2, 3):
        def make(**options):
            return redis.Redis(port=PORT, protocol=protocol, **options)
        with make() as r:
            r.flushall()
            for name, area in AREAS.items():
                try:
                    area(r, make)
                    print("PASS", name)
                except Exception as error:
                    failed = True
                    print(f"FAIL {name}: RESP{protocol}: {error!r}")
    sys.exit(failed)


main()
