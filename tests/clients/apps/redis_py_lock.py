"""redis-py's Lock (waiting, extending, lost and stolen locks), its client-side cache on RESP3 and registered scripts."""
import threading
import time

import common
import redis
from common import check, raises, run, until
from redis.cache import CacheConfig
from redis.exceptions import LockError, LockNotOwnedError, NoScriptError, ResponseError

r = redis.Redis(common.HOST, common.PORT, decode_responses=True)


def locks():
    lock = r.lock("lock", timeout=5)
    check("acquire", [lock.acquire(blocking=False), lock.owned(), lock.locked()], [True, True, True])
    other = r.lock("lock", timeout=5)
    check("taken", [other.acquire(blocking=False), other.owned()], [False, False])
    start = time.monotonic()
    check("waits in vain", other.acquire(blocking_timeout=0.3), False)
    check("waits as long as told", 0.2 < time.monotonic() - start < 1.5, True)

    lock.release()
    lock = r.lock("lock", timeout=5, thread_local=False)
    lock.acquire()
    threading.Timer(0.3, lock.release).start()
    check("waits for it", [other.acquire(blocking_timeout=5), other.owned()], [True, True])
    check("release", [other.release(), r.exists("lock")], [None, 0])
    check("not held", raises(LockError, other.release), "Cannot release a lock that's not owned or is already unlocked.")

    lock = r.lock("lock", timeout=2)
    lock.acquire()
    check("extend", [lock.extend(10), 10000 < r.pttl("lock") <= 12000], [True, True])
    check("extend, replacing", [lock.extend(3, replace_ttl=True), 2000 < r.pttl("lock") <= 3000], [True, True])
    check("reacquire", [lock.reacquire(), 1000 < r.pttl("lock") <= 2000], [True, True])
    r.set("lock", "thief")
    check("stolen", raises(LockNotOwnedError, lock.extend, 1)[:42], "Cannot extend a lock that's no longer owne")
    check("stolen lock stays", [raises(LockNotOwnedError, lock.release)[:14], r.get("lock")], ["Cannot release", "thief"])
    r.delete("lock")

    lost = r.lock("lost", timeout=0.1)
    lost.acquire()
    until(lambda: not lost.locked())
    check("lost", raises(LockNotOwnedError, lost.release)[:40], "Cannot release a lock that's no longer o")

    counter = []

    def add():
        with redis.Redis(common.HOST, common.PORT).lock("critical", timeout=5, sleep=0.005):
            seen = len(counter)
            time.sleep(0.002)
            counter.append(seen)

    threads = [threading.Thread(target=add) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("one at a time", counter, list(range(20)))


def scripts():
    r.script_flush()
    double = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1] * 2)")
    check("a script that is not loaded yet", [double(keys=["n"], args=[4]), double(keys=["n"], args=[1])], [8, 10])
    check("no script", raises(NoScriptError, r.evalsha, "0" * 40, 0), "No matching script. Please use EVAL.")
    with r.pipeline() as pipe:
        double(keys=["n"], args=[5], client=pipe)
        check("a script in a pipeline", pipe.get("n").execute(), [20, "20"])
    check("a script's error", raises(ResponseError, r.eval, "return redis.error_reply('MINE own words')", 0), "MINE own words")


def cache():
    """The cache answers without asking, until the server says that a key has changed."""
    c = redis.Redis(common.HOST, common.PORT, protocol=3, decode_responses=True, cache_config=CacheConfig(max_size=100))
    held = c.get_cache()
    r.mset({"a": "1", "b": "2"})
    check("cached reads", [c.get("a"), c.get("a"), c.mget("a", "b")], ["1", "1", ["1", "2"]])
    check("size", held.size, 2)
    before = r.info("commandstats")["cmdstat_get"]["calls"]
    check("from the cache", [c.get("a") for _ in range(50)], ["1"] * 50)
    check("nobody was asked", r.info("commandstats")["cmdstat_get"]["calls"], before)
    for change in ({"set": ("a", "new")}, {"append": ("a", "er")}, {"delete": ("a",)}):
        (name, arguments), = change.items()
        getattr(r, name)(*arguments)
        until(lambda: c.get("a") == r.get("a"))
        check(f"invalidated by {name}", c.get("a"), r.get("a"))
    r.set("short", "x", px=100)
    check("read before it expires", c.get("short"), "x")
    until(lambda: c.get("short") is None)
    check("invalidated by expiry", c.get("short"), None)
    c.get("b")
    r.flushdb()
    until(lambda: c.get("b") is None)
    check("invalidated by a flush", c.get("b"), None)
    c.set("mine", "1")
    c.get("mine")
    c.set("mine", "2")
    check("own writes", c.get("mine"), "2")
    check("hash", [c.hset("h", "f", "1"), c.hget("h", "f"), c.hset("h", "f", "2"), c.hget("h", "f")], [1, "1", 0, "2"])
    c.close()


def main():
    locks()
    scripts()
    version = r.info("server")["redis_version"]
    if [int(part) for part in version.split(".")[:2]] >= [7, 4]:
        cache()
    else:
        print(f"SKIP the cache: redis-py does not offer it to version {version}")


run(main)
