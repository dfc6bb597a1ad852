"""Pottery: Redlock, and containers that look like Python's own (dict, set, deque, counter, next id, cached calls)."""
import threading
import time
import warnings

import common
from common import check, raises, run
from pottery import NextID, RedisCounter, RedisDeque, RedisDict, RedisList, RedisSet, Redlock, redis_cache
from pottery.exceptions import ReleaseUnlockedLock
from redis import Redis

r = Redis(common.HOST, common.PORT)


def locks():
    lock = Redlock(key="printer", masters={r}, auto_release_time=2)
    check("acquire", [lock.acquire(), 1 < lock.locked() <= 2], [True, True])
    other = Redlock(key="printer", masters={r}, auto_release_time=2)
    check("taken", [other.acquire(blocking=False), other.acquire(timeout=0.2)], [False, False])
    time.sleep(0.3)
    lock.extend()
    check("extended", lock.locked() > 1.8, True)
    lock.release()
    check("released", [lock.locked(), other.acquire()], [0, True])
    other.release()
    check("not held", isinstance(raises(ReleaseUnlockedLock, other.release), str), True)

    seen = []

    def work():
        with Redlock(key="critical", masters={r}, auto_release_time=5):
            n = len(seen)
            time.sleep(0.002)
            seen.append(n)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("one at a time", seen, list(range(5)))


def containers():
    ids = NextID(key="ids", masters={r})
    check("next ids", [next(ids) for _ in range(5)], [1, 2, 3, 4, 5])
    tel = RedisDict({"jack": 4098, "sape": 4139}, redis=r, key="tel")
    tel["guido"] = 4127
    del tel["sape"]
    check("dict", [dict(tel), "jack" in tel, len(tel)], [{"jack": 4098, "guido": 4127}, True, 2])
    check("missing", raises(KeyError, tel.__getitem__, "nobody"), "'nobody'")
    fruit = RedisSet({"apple", "pear"}, redis=r, key="fruit")
    fruit.add("plum")
    check("set", [set(fruit), "fig" in fruit], [{"apple", "pear", "plum"}, False])
    squares = RedisList([1, 4, 9, 16, 25], redis=r, key="squares")
    squares.insert(1, 2)
    squares[0] = 0
    check("list", [list(squares), squares[-1], squares[1:3], squares.pop()], [[0, 2, 4, 9, 16, 25], 25, [2, 4], 25])
    queue = RedisDeque("ghi", redis=r, key="letters", maxlen=4)
    queue.append("j")
    queue.append("k")
    queue.appendleft("f")
    check("deque", list(queue), ["f", "h", "i", "j"])
    counter = RedisCounter("abracadabra", redis=r, key="counter")
    check("counter", counter.most_common(2), [("a", 5), ("b", 2)])

    calls = []

    @redis_cache(redis=r, key="calls", timeout=60)
    def slow(n):
        calls.append(n)
        return n * 2

    check("cached calls", [[slow(2), slow(2), slow(3)], calls, slow.cache_info().hits], [[4, 4, 6], [2, 3], 1])


def main():
    warnings.simplefilter("ignore")  # about operations whose time grows with the container
    locks()
    containers()


run(main)
