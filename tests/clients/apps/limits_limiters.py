"""limits: its fixed, moving and sliding windows, whose counting is Lua on the server; by many threads at once."""
import threading
import time

import common
from common import check, run
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

LIMITERS = [FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter]


def main():
    storage = storage_from_string(common.URL)
    check("storage", storage.check(), True)
    if time.time() % 60 > 52:  # not across the end of a minute, where windows begin anew
        time.sleep(60 - time.time() % 60)
    per_minute = RateLimitItemPerMinute(5)
    for kind in LIMITERS:
        limiter, name = kind(storage), kind.__name__.replace("RateLimiter", "")
        user = ("user", name)
        check(f"{name}: five of seven", [limiter.hit(per_minute, *user) for _ in range(7)], [True] * 5 + [False] * 2)
        check(f"{name}: test", [limiter.test(per_minute, *user), limiter.test(per_minute, "else", name)], [False, True])
        window = limiter.get_window_stats(per_minute, *user)
        check(f"{name}: window", [window.remaining, 0 < window.reset_time - time.time() <= 61], [0, True])
        limiter.clear(per_minute, *user)
        check(f"{name}: cleared", limiter.hit(per_minute, *user, cost=5), True)
        check(f"{name}: cost", [limiter.hit(per_minute, *user), limiter.hit(per_minute, "else", name, cost=6)], [False, False])

        per_second = RateLimitItemPerSecond(2)
        hits = [limiter.hit(per_second, *user) for _ in range(2)]
        time.sleep(2.1)
        check(f"{name}: a new second", [hits, limiter.hit(per_second, *user)], [[True, True], True])

        allowed = []
        crowd = RateLimitItemPerMinute(50)
        threads = [
            threading.Thread(target=lambda: allowed.extend(limiter.hit(crowd, "crowd", name) for _ in range(20)))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(f"{name}: a hundred at once", [len(allowed), sum(allowed)], [100, 50])
    storage.reset()


run(main)
