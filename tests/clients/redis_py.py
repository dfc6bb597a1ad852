"""redis-py against the server, with plain and asyncio connections, in RESP2 and RESP3.

usage: redis_py.py PORT; prints one PASS or FAIL line a check; exit code 1 when one fails.
With FERRITE_TLS=PORT:DIRECTORY everything goes over TLS to that port, with ca.crt, client.crt and client.key of the directory.
"""
import asyncio
import os
import sys

import redis
import redis.asyncio

PORT = int(sys.argv[1])
TLS = {}
if "FERRITE_TLS" in os.environ:
    port, folder = os.environ["FERRITE_TLS"].split(":", 1)
    PORT = int(port)
    TLS = {"ssl": True, "ssl_ca_certs": f"{folder}/ca.crt", "ssl_certfile": f"{folder}/client.crt", "ssl_keyfile": f"{folder}/client.key"}
failures = 0


def check(name, seen, wanted):
    global failures
    if seen == wanted:
        print(f"PASS {name}")
    else:
        failures += 1
        print(f"FAIL {name}: got {seen!r}, expected {wanted!r}")


def raises(name, text, call):
    try:
        call()
    except redis.ResponseError as error:
        check(name, str(error), text)
    else:
        check(name, "no error", text)


def strings(r, p):
    check(f"{p} set", r.set("s", "héllo"), True)
    check(f"{p} get", r.get("s"), "héllo")
    check(f"{p} get missing", r.get("none"), None)
    check(f"{p} set nx", r.set("s", "x", nx=True), None)
    check(f"{p} set get", r.set("s", "y", get=True), "héllo")
    check(f"{p} set ex ttl", (r.set("e", 1, ex=100), r.ttl("e")), (True, 100))
    check(f"{p} getex persist", (r.getex("e", persist=True), r.ttl("e")), ("1", -1))
    check(f"{p} incr", [r.incr("n"), r.incr("n", 10), r.decr("n")], [1, 11, 10])
    check(f"{p} incrbyfloat", r.incrbyfloat("f", 1.5), 1.5)
    check(f"{p} mset mget", (r.mset({"a": 1, "b": 2}), r.mget("a", "b", "c")), (True, ["1", "2", None]))
    check(f"{p} append strlen", (r.append("s", "z"), r.strlen("s")), (2, 2))
    check(f"{p} getrange setrange", (r.setrange("s", 1, "QQ"), r.getrange("s", 0, -1)), (3, "yQQ"))
    check(f"{p} bits", (r.setbit("bits", 7, 1), r.getbit("bits", 7), r.bitcount("bits"), r.bitpos("bits", 1)), (0, 1, 1, 7))
    check(f"{p} bitfield", r.bitfield("bf").incrby("u8", 0, 200).incrby("u8", 0, 100).execute(), [200, 44])
    check(f"{p} lcs", (r.mset({"lcs1": "ohmytext", "lcs2": "mynewtext"}), r.lcs("lcs1", "lcs2")), (True, "mytext"))
    raises(f"{p} wrong type", "WRONGTYPE Operation against a key holding the wrong kind of value", lambda: r.lpush("s", 1))
    raises(f"{p} not an integer", "value is not an integer or out of range", lambda: r.incr("s"))
    big = "x" * 1_000_000
    check(f"{p} a megabyte", (r.set("big", big), r.get("big") == big), (True, True))


def hashes(r, p):
    check(f"{p} hset", r.hset("h", mapping={"f": 1, "g": 2}), 2)
    check(f"{p} hgetall", r.hgetall("h"), {"f": "1", "g": "2"})
    check(f"{p} hmget", r.hmget("h", ["f", "x"]), ["1", None])
    check(f"{p} hincrby", (r.hincrby("h", "f", 5), r.hincrbyfloat("h", "f", 0.5)), (6, 6.5))
    check(f"{p} hdel hlen", (r.hdel("h", "g", "x"), r.hlen("h"), r.hexists("h", "g")), (1, 1, False))
    check(f"{p} hkeys hvals", (r.hkeys("h"), r.hvals("h")), (["f"], ["6.5"]))


def lists(r, p):
    check(f"{p} push", (r.rpush("l", 1, 2, 3), r.lpush("l", 0)), (3, 4))
    check(f"{p} lrange", r.lrange("l", 0, -1), ["0", "1", "2", "3"])
    check(f"{p} pop", (r.lpop("l"), r.rpop("l", 2), r.llen("l")), ("0", ["3", "2"], 1))
    check(f"{p} linsert lset lindex", (r.linsert("l", "before", "1", "x"), r.lset("l", 1, "y"), r.lindex("l", -1)), (2, True, "y"))
    check(f"{p} lmove", (r.lmove("l", "l2", "LEFT", "RIGHT"), r.lrange("l2", 0, -1)), ("x", ["x"]))
    check(f"{p} lpos", (r.rpush("lp", "a", "b", "a"), r.lpos("lp", "a", rank=-1), r.lpos("lp", "a", count=0)), (3, 2, [0, 2]))
    check(f"{p} lmpop", r.lmpop(2, "none", "lp", direction="LEFT", count=2), ["lp", ["a", "b"]])


def sets(r, p):
    check(f"{p} sadd", (r.sadd("st", "a", "b", "c"), r.sadd("st2", "b", "c", "d")), (3, 3))
    check(f"{p} smembers", r.smembers("st"), {"a", "b", "c"})
    check(f"{p} algebra", (r.sinter("st", "st2"), r.sdiff("st", "st2"), r.sunion("st", "st2")), ({"b", "c"}, {"a"}, {"a", "b", "c", "d"}))
    check(f"{p} sismember", (bool(r.sismember("st", "a")), r.smismember("st", "a", "z")), (True, [1, 0]))
    check(f"{p} sintercard", r.sintercard(2, ["st", "st2"]), 2)
    check(f"{p} spop", (r.spop("st") in {"a", "b", "c"}, r.scard("st")), (True, 2))


def sorted_sets(r, p):
    check(f"{p} zadd", r.zadd("z", {"a": 1, "b": 2.5, "c": 3}), 3)
    pairs = [tuple(pair) for pair in r.zrange("z", 0, -1, withscores=True)]
    check(f"{p} zrange withscores", pairs, [("a", 1.0), ("b", 2.5), ("c", 3.0)])
    check(f"{p} zscore", (r.zscore("z", "b"), r.zmscore("z", ["a", "x"])), (2.5, [1.0, None]))
    check(f"{p} zrank", (r.zrank("z", "c"), r.zrevrank("z", "c"), r.zrank("z", "x")), (2, 0, None))
    check(f"{p} zrangebyscore", r.zrangebyscore("z", "(1", "+inf", start=0, num=1), ["b"])
    check(f"{p} zincrby", r.zincrby("z", 10, "a"), 11.0)
    check(f"{p} zadd gt", (r.zadd("z", {"a": 5}, gt=True), r.zscore("z", "a")), (0, 11.0))
    check(f"{p} zpopmin", [tuple(pair) for pair in r.zpopmin("z", 2)] if p != "resp3" else sorted(x for pair in r.zpopmin("z", 2) for x in pair[:1]), [("b", 2.5), ("c", 3.0)] if p != "resp3" else ["b", "c"])
    check(f"{p} zunionstore", (r.zadd("z2", {"a": 1}), r.zunionstore("z3", {"z": 2, "z2": 3}), r.zscore("z3", "a")), (1, 1, 25.0))


def keys_and_scans(r, p):
    r.mset({f"scan:{i}": i for i in range(500)})
    check(f"{p} scan_iter", {key for key in r.scan_iter("scan:*", count=50)}, {f"scan:{i}" for i in range(500)})
    r.hset("hs", mapping={f"f{i}": i for i in range(300)})
    check(f"{p} hscan_iter", dict(r.hscan_iter("hs")), {f"f{i}": str(i) for i in range(300)})
    r.sadd("ss", *range(300))
    check(f"{p} sscan_iter", {int(member) for member in r.sscan_iter("ss")}, set(range(300)))
    r.zadd("zs", {f"m{i}": i for i in range(300)})
    check(f"{p} zscan_iter", dict(r.zscan_iter("zs")), {f"m{i}": float(i) for i in range(300)})
    check(f"{p} type rename exists", (r.type("hs"), r.rename("hs", "hs2"), r.exists("hs", "hs2")), ("hash", True, 1))
    check(f"{p} expire", (r.expire("hs2", 100), r.pttl("hs2") > 90_000, r.persist("hs2"), r.ttl("none")), (True, True, True, -2))
    check(f"{p} copy", (r.copy("hs2", "hs3"), r.object("encoding", "hs3") in ("hashtable", "listpack")), (True, True))
    check(f"{p} sort", (r.rpush("so", 3, 1, 2), r.sort("so", desc=True)), (3, ["3", "2", "1"]))
    check(f"{p} unlink dbsize", (r.unlink("hs2", "hs3"), r.dbsize() > 500), (2, True))


def others(r, p):
    check(f"{p} geoadd", r.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")), 2)
    check(f"{p} geodist", r.geodist("g", "Palermo", "Catania", "km"), 166.2742)
    check(f"{p} geosearch", r.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC"), ["Catania", "Palermo"])
    check(f"{p} geohash", r.geohash("g", "Palermo"), ["sqc8b49rny0"])
    check(f"{p} pfadd", (r.pfadd("hll", *range(100)), 95 <= r.pfcount("hll") <= 105), (1, True))
    check(f"{p} info", r.info("server")["redis_mode"], "standalone")
    check(f"{p} config", (r.config_set("maxmemory-samples", 7), r.config_get("maxmemory-samples")), (True, {"maxmemory-samples": "7"}))
    check(f"{p} client", (r.client_setname("tester"), r.client_getname()), (True, "tester"))
    check(f"{p} echo time", (r.echo("x"), len(r.time())), ("x", 2))
    check(f"{p} command count", r.command_count() > 100, True)


def pipelines(r, p):
    pipe = r.pipeline(transaction=False)
    for i in range(1000):
        pipe.set(f"p:{i}", i)
    for i in range(1000):
        pipe.get(f"p:{i}")
    replies = pipe.execute()
    check(f"{p} pipeline", (replies[:1000] == [True] * 1000, replies[1000:] == [str(i) for i in range(1000)]), (True, True))
    pipe = r.pipeline(transaction=False)
    pipe.set("pe", "x").incr("pe").get("pe")
    replies = pipe.execute(raise_on_error=False)
    check(f"{p} pipeline with an error", (replies[0], isinstance(replies[1], redis.ResponseError), replies[2]), (True, True, "x"))


async def asynchronous(proto):
    p = f"asyncio resp{proto}"
    r = redis.asyncio.Redis(port=PORT, decode_responses=True, protocol=proto, **TLS)
    await r.flushall()
    check(f"{p} set get", (await r.set("k", "v"), await r.get("k")), (True, "v"))
    replies = await asyncio.gather(*(r.incr("counter") for _ in range(200)))
    check(f"{p} gather", sorted(replies), list(range(1, 201)))
    async with r.pipeline(transaction=False) as pipe:
        for i in range(100):
            pipe.hset("h", f"f{i}", i)
        check(f"{p} pipeline", await pipe.execute(), [1] * 100)
    check(f"{p} hscan_iter", len([item async for item in r.hscan_iter("h")]), 100)
    check(f"{p} zadd zrange", (await r.zadd("z", {"a": 1, "b": 2}), await r.zrange("z", 0, -1)), (2, ["a", "b"]))
    await r.aclose()


def main():
    for proto in (2, 3):
        r = redis.Redis(port=PORT, decode_responses=True, protocol=proto, **TLS)
        r.flushall()
        for part in (strings, hashes, lists, sets, sorted_sets, keys_and_scans, others, pipelines):
            try:
                part(r, f"resp{proto}")
            except Exception as error:  # a check that cannot even run is a failure of its own
                check(f"resp{proto} {part.__name__}", repr(error), "no exception")
        other = redis.Redis(port=PORT, db=5, decode_responses=True, protocol=proto, **TLS)
        check(f"resp{proto} databases", (other.set("k5", 1), r.get("k5"), other.get("k5")), (True, None, "1"))
        r.close()
        asyncio.run(asynchronous(proto))
    sys.exit(1 if failures else 0)


main()
