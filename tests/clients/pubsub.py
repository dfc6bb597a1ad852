"""redis-py: channels with plain and asyncio connections, keyspace events, and its client-side cache.

usage: pubsub.py PORT; prints one PASS or FAIL line a check; exit code 1 when one fails.
"""
import asyncio
import logging
import sys
import time

import redis
import redis.asyncio
from redis.cache import CacheConfig

# With RESP3 the library reports each message to its log.
logging.disable()
PORT = int(sys.argv[1])
failures = 0


def check(name, seen, wanted):
    global failures
    if seen == wanted:
        print(f"PASS {name}")
    else:
        failures += 1
        print(f"FAIL {name}: got {seen!r}, expected {wanted!r}")


def eventually(seen, wanted, seconds=3):
    """What is seen as soon as it is what is wanted, or at the end of the time."""
    end = time.monotonic() + seconds
    while seen() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return seen()


def messages(listener, count):
    got = []
    end = time.monotonic() + 3
    while len(got) < count and time.monotonic() < end:
        message = listener.get_message(ignore_subscribe_messages=True, timeout=0.1)
        if message:
            got.append((message["type"], message["channel"], message["data"]))
    return got


def channels(p, r):
    listener = r.pubsub()
    listener.subscribe("news", "sport")
    listener.psubscribe("n*")
    first = [listener.get_message(timeout=1)["data"] for _ in range(3)]
    check(f"{p} subscribe", first, [1, 2, 3])
    check(f"{p} publish", (r.publish("news", "hello"), r.publish("sport", "goal"), r.publish("none", "x")), (2, 1, 1))
    wanted = [("message", "news", "hello"), ("pmessage", "news", "hello"), ("message", "sport", "goal"), ("pmessage", "none", "x")]
    check(f"{p} messages", messages(listener, 4), wanted)
    check(f"{p} numsub", r.pubsub_numsub("news", "none"), [("news", 1), ("none", 0)])
    check(f"{p} channels", sorted(r.pubsub_channels()), ["news", "sport"])
    check(f"{p} numpat", r.pubsub_numpat(), 1)
    if p == "resp2":  # with RESP3 it is a plain status, which the library takes apart like a message
        listener.ping()
        check(f"{p} ping", listener.get_message(timeout=1)["type"], "pong")
    listener.unsubscribe()
    listener.punsubscribe()
    check(f"{p} unsubscribed", eventually(lambda: r.pubsub_numsub("news"), [("news", 0)]), [("news", 0)])
    listener.close()
    shard = r.pubsub()
    shard.ssubscribe("shard")
    shard.get_message(timeout=1)
    check(f"{p} spublish", r.spublish("shard", "x"), 1)
    check(f"{p} smessage", messages(shard, 1), [("smessage", "shard", "x")])
    shard.close()


def events(p, r):
    r.config_set("notify-keyspace-events", "KEA")
    listener = r.pubsub()
    listener.psubscribe("__keyevent@0__:*")
    listener.get_message(timeout=1)
    r.set("e", 1, px=30)
    r.hset("h", "f", 1)
    wanted = [("pmessage", f"__keyevent@0__:{name}", key) for name, key in (("set", "e"), ("expire", "e"), ("hset", "h"), ("expired", "e"))]
    check(f"{p} keyspace events", messages(listener, 4), wanted)
    listener.close()
    r.config_set("notify-keyspace-events", "")


def handler_thread(p, r):
    got = []
    listener = r.pubsub()
    listener.subscribe(jobs=lambda message: got.append(message["data"]))
    thread = listener.run_in_thread(sleep_time=0.01)
    for number in range(1000):
        r.publish("jobs", number)
    everything = [str(number) for number in range(1000)]
    check(f"{p} a thousand messages in order", eventually(lambda: got, everything), everything)
    thread.stop()
    thread.join()


def cache():
    """The library keeps what it has read, and drops what the server says has changed."""
    r = redis.Redis(port=PORT, decode_responses=True, protocol=3, cache_config=CacheConfig())
    other = redis.Redis(port=PORT, decode_responses=True)
    other.set("cached", "one")
    stored = r.get_cache()
    check("cache first read", (r.get("cached"), stored.size), ("one", 1))
    calls = lambda: int(other.info("commandstats")["cmdstat_get"]["calls"])
    before = calls()
    check("cache hit", (r.get("cached"), calls() - before), ("one", 0))
    other.set("cached", "two")
    check("cache invalidated by another client", eventually(lambda: r.get("cached"), "two"), "two")
    r.set("cached", "three")
    check("cache invalidated by its own write", r.get("cached"), "three")
    other.set("short", "x", px=40)
    check("cache before the time", r.get("short"), "x")
    check("cache after the time", eventually(lambda: r.get("short"), None), None)
    r.mget("cached", "short")
    other.flushall()
    check("cache after FLUSHALL", eventually(lambda: r.mget("cached", "short"), [None, None]), [None, None])
    r.close()
    other.close()


async def asynchronous():
    r = redis.asyncio.Redis(port=PORT, decode_responses=True, protocol=3)
    async with r.pubsub() as listener:
        await listener.subscribe("room")
        await listener.get_message(timeout=1)
        await asyncio.gather(*(r.publish("room", n) for n in range(100)))
        got = []
        async for message in listener.listen():
            got.append(int(message["data"]))
            if len(got) == 100:
                break
        check("asyncio messages", sorted(got), list(range(100)))
    await r.aclose()


def main():
    for proto in (2, 3):
        r = redis.Redis(port=PORT, decode_responses=True, protocol=proto)
        r.flushall()
        for part in (channels, events, handler_thread):
            try:
                part(f"resp{proto}", r)
            except Exception as error:  # a check that cannot even run is a failure of its own
                check(f"resp{proto} {part.__name__}", repr(error), "no exception")
        r.close()
    cache()
    asyncio.run(asynchronous())
    sys.exit(1 if failures else 0)


main()
