"""A live stream: counters, distinct viewers, and who is here at this moment.

usage: live.py [PORT]; needs redis-py. It touches only keys that begin with "live:".
"""
import sys
import time

import redis

HERE_MS = 1000  # how long a heartbeat counts; a real player would beat every 5 s and count for 15

r = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379, decode_responses=True)


def heartbeat(stream, viewer):
    """The player calls it now and then: a key that ends by itself, and one more element of a HyperLogLog."""
    pipe = r.pipeline(transaction=False)
    pipe.set(f"live:here:{stream}:{viewer}", 1, px=HERE_MS)
    pipe.pfadd(f"live:viewers:{stream}", viewer)
    pipe.execute()


def is_here(stream, viewer):
    return r.exists(f"live:here:{stream}:{viewer}") == 1


def here(stream):
    prefix = f"live:here:{stream}:"
    return {key.removeprefix(prefix) for key in r.scan_iter(prefix + "*", count=1000)}


def count(stream, what, by=1):
    return r.hincrby(f"live:stats:{stream}", what, by)


def stats(stream):
    return {what: int(value) for what, value in r.hgetall(f"live:stats:{stream}").items()}


def clear():
    for key in r.scan_iter("live:*"):
        r.unlink(key)


clear()
for viewer in ("ada", "bob", "eve"):
    heartbeat("cup", viewer)
assert here("cup") == {"ada", "bob", "eve"}

for _ in range(40):
    count("cup", "likes")
assert count("cup", "gifts", 250) == 250
assert stats("cup") == {"likes": 40, "gifts": 250}

time.sleep(HERE_MS / 2000)
heartbeat("cup", "ada")
time.sleep(HERE_MS / 1500)
assert here("cup") == {"ada"} and not is_here("cup", "bob")  # the others were not heard of for a second

crowd = [f"viewer:{number}" for number in range(100_000)]
for start in range(0, len(crowd), 1000):
    r.pfadd("live:viewers:cup", *crowd[start : start + 1000])
viewers = r.pfcount("live:viewers:cup")
assert abs(viewers - 100_003) < 3_000, viewers
assert r.memory_usage("live:viewers:cup") < 20_000  # bytes, however many viewers there are
clear()
print("ok")
