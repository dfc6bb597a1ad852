"""redis-py with asyncio connections, in RESP2 and RESP3: one check an area of the client matrix.

usage: redis_py_asyncio.py PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
"""
import asyncio
import sys

import redis
import redis.asyncio

PORT = int(sys.argv[1])
EVERY_BYTE = bytes(range(256))


def expect(seen, wanted):
    if seen != wanted:
        raise AssertionError(f"got {seen!r:.200}, expected {wanted!r:.200}")


async def raises(kind, start, promise):
    try:
        await promise
    except kind as error:
        if not str(error).startswith(start):
            raise AssertionError(f"got the error {error!r}, expected one that begins with {start!r}") from None
    else:
        raise AssertionError(f"no error, expected {start!r}")


async def connect(r, make):
    expect(await r.ping(), True)
    async with make(username="worker", password="secret", db=3) as other:
        expect(await other.acl_whoami() in (b"worker", "worker"), True)
        expect((await other.set("only-in-3", 1), await r.get("only-in-3")), (True, None))
        await other.flushdb()
    async with make(username="worker", password="x") as other:
        await raises(redis.AuthenticationError, "invalid username-password pair", other.ping())


async def strings(r, make):
    expect(await r.set("s", "héllo", px=100_000), True)
    expect((await r.get("s"), await r.get("none"), await r.ttl("s")), ("héllo".encode(), None, 100))
    expect(sorted(await asyncio.gather(*(r.incr("n") for _ in range(200)))), list(range(1, 201)))
    expect(await r.mget("n", "none"), [b"200", None])


async def pipeline(r, make):
    async with r.pipeline(transaction=False) as pipe:
        for _ in range(2000):
            pipe.incr("counter")
        pipe.lpush("counter", "x").get("counter")
        replies = await pipe.execute(raise_on_error=False)
    expect(replies[:2000], list(range(1, 2001)))
    expect((type(replies[2000]), replies[2001]), (redis.ResponseError, b"2000"))


async def transaction(r, make):
    async with make() as other, r.pipeline() as pipe:
        await pipe.watch("t")
        await other.set("t", 1)
        pipe.multi()
        pipe.incr("t")
        await raises(redis.WatchError, "", pipe.execute())
    async with r.pipeline() as pipe:
        expect(await pipe.incr("t").lpush("tl", "a").execute(), [2, 1])


async def lists(r, make):
    expect((await r.rpush("l", "a", "b"), await r.lrange("l", 0, -1)), (2, [b"a", b"b"]))
    expect(await r.blpop("q", timeout=0.05), None)
    async with make() as other:
        waiting = asyncio.create_task(r.brpop(["none", "q"], timeout=5))
        await asyncio.sleep(0.1)
        await other.rpush("q", "work")
        expect(list(await waiting), [b"q", b"work"])


async def hashes(r, make):
    expect((await r.hset("h", mapping={"f": 1, "g": 2}), await r.hgetall("h")), (2, {b"f": b"1", b"g": b"2"}))
    expect((await r.hincrby("h", "f", 9), await r.hdel("h", "g"), await r.hlen("h")), (10, 1, 1))


async def sets(r, make):
    expect((await r.sadd("s1", "a", "b"), await r.sadd("s2", "b"), await r.sdiff("s1", "s2")), (2, 1, {b"a"}))
    expect((await r.smembers("s1"), await r.scard("s1")), ({b"a", b"b"}, 2))


async def sorted_sets(r, make):
    expect((await r.zadd("z", {"a": 1, "b": 2.5}), await r.zscore("z", "b"), await r.zincrby("z", 2, "a")), (2, 2.5, 3.0))
    expect([tuple(p) for p in await r.zrange("z", 0, -1, withscores=True)], [(b"b", 2.5), (b"a", 3.0)])


async def streams(r, make):
    ids = [await r.xadd("x", {"n": i}) for i in range(3)]
    expect(await r.xgroup_create("x", "g", id="0"), True)
    got = await r.xreadgroup("g", "one", {"x": ">"}, count=2)
    entries = got[0][1] if isinstance(got, list) else got[b"x"][0]
    expect([entry[0] for entry in entries], ids[:2])
    expect((await r.xack("x", "g", *ids[:2]), (await r.xpending("x", "g"))["pending"]), (2, 0))
    reader = asyncio.create_task(r.xread({"x": "$"}, block=5000))
    await asyncio.sleep(0.1)
    await r.xadd("x", {"late": 1})
    got = await reader
    expect((got[0][1] if isinstance(got, list) else got[b"x"][0])[0][1], {b"late": b"1"})


async def scan(r, make):
    await r.mset({f"scan:{i}": i for i in range(1000)})
    expect({key async for key in r.scan_iter("scan:*", count=70)}, {f"scan:{i}".encode() for i in range(1000)})
    await r.hset("hs", mapping={f"f{i}": i for i in range(700)})
    expect(len({pair[0] async for pair in r.hscan_iter("hs")}), 700)


async def pubsub(r, make):
    async with make() as other, other.pubsub() as p:
        await p.subscribe("news")
        await p.psubscribe("n?ws*")
        expect([(await p.get_message(timeout=5))["type"] for _ in range(2)], ["subscribe", "psubscribe"])
        expect(await r.publish("news", EVERY_BYTE), 2)
        got = [await p.get_message(timeout=5) for _ in range(2)]
        expect([(m["type"], m["data"]) for m in got], [("message", EVERY_BYTE), ("pmessage", EVERY_BYTE)])


async def scripts(r, make):
    script = r.register_script("redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}")
    for _ in range(2):
        await r.script_flush()
        expect(await script(keys=["k"], args=["v"]), [b"k", 7, None])
    await raises(redis.exceptions.NoScriptError, "No matching script", r.evalsha("0" * 40, 0))


async def binary(r, make):
    expect((await r.set(EVERY_BYTE, EVERY_BYTE), await r.get(EVERY_BYTE)), (True, EVERY_BYTE))


async def big(r, make):
    value = EVERY_BYTE * 65536
    expect((await r.set("big", value), await r.get("big") == value), (True, True))


async def errors(r, make):
    await r.set("e", "x")
    await raises(redis.ResponseError, "WRONGTYPE ", r.lpush("e", 1))
    await raises(redis.ResponseError, "unknown command 'NOSUCH'", r.execute_command("NOSUCH"))
    expect(await r.ping(), True)


AREAS = {"connect": connect, "strings": strings, "pipeline": pipeline, "transaction": transaction, "list": lists,
         "hash": hashes, "set": sets, "zset": sorted_sets, "stream": streams, "scan": scan, "pubsub": pubsub,
         "script": scripts, "binary": binary, "big": big, "errors": errors}


async def main():
    print("VERSION", redis.__version__)
    failed = False
    for protocol in (2, 3):
        def make(**options):
            return redis.asyncio.Redis(port=PORT, protocol=protocol, **options)
        async with make() as r:
            await r.flushall()
            for name, area in AREAS.items():
                try:
                    await area(r, make)
                    print("PASS", name)
                except Exception as error:
                    failed = True
                    print(f"FAIL {name}: RESP{protocol}: {error!r}")
    return failed


sys.exit(asyncio.run(main()))
