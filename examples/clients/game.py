"""A game: leaderboard, players nearby, friends in common, a lock, a rate limit.

usage: game.py [PORT]; needs redis-py. It touches only keys that begin with "game:".
"""
import secrets
import sys
import time

import redis

r = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379, decode_responses=True)


def score(player, points):
    """Keeps a player's best result."""
    r.zadd("game:board", {player: points}, gt=True)


def top(count):
    return r.zrange("game:board", 0, count - 1, desc=True, withscores=True)


def place(player):
    return r.zrevrank("game:board", player) + 1


def move(player, longitude, latitude):
    r.geoadd("game:map", (longitude, latitude, player))


def nearby(player, km):
    found = r.geosearch("game:map", member=player, radius=km, unit="km", sort="ASC")
    return [name for name in found if name != player]


def befriend(one, other):
    pipe = r.pipeline(transaction=False)
    pipe.sadd(f"game:friends:{one}", other)
    pipe.sadd(f"game:friends:{other}", one)
    pipe.execute()


def common_friends(one, other):
    return r.sinter(f"game:friends:{one}", f"game:friends:{other}")


def lock(name, ms):
    """A token if nobody holds the lock, or None. It ends by itself if its holder dies."""
    token = secrets.token_hex(16)
    return token if r.set(f"game:lock:{name}", token, nx=True, px=ms) else None


def unlock(name, token):
    """Deletes the lock only if it is still ours: one command, no script."""
    return r.execute_command("DELIFEQ", f"game:lock:{name}", token) == 1


def allowed(player, limit, seconds):
    """At most `limit` calls in a window; EXPIRE NX starts the window with the first call."""
    pipe = r.pipeline(transaction=False)
    pipe.incr(f"game:rate:{player}")
    pipe.expire(f"game:rate:{player}", seconds, nx=True)
    return pipe.execute()[0] <= limit


def clear():
    for key in r.scan_iter("game:*"):
        r.unlink(key)


clear()
for player, points in (("ada", 900), ("bob", 1200), ("eve", 700), ("bob", 300)):
    score(player, points)
assert top(2) == [("bob", 1200.0), ("ada", 900.0)]
assert place("eve") == 3

move("ada", 13.4050, 52.5200)  # Berlin
move("bob", 13.0645, 52.3906)  # Potsdam
move("eve", 2.3522, 48.8566)  # Paris
assert nearby("ada", 50) == ["bob"]
assert nearby("ada", 2000) == ["bob", "eve"]

befriend("ada", "eve")
befriend("bob", "eve")
assert common_friends("ada", "bob") == {"eve"}

token = lock("chest", 5000)
assert token and lock("chest", 5000) is None
assert not unlock("chest", "somebody else's token")
assert unlock("chest", token)
stale = lock("chest", 50)
time.sleep(0.06)
fresh = lock("chest", 5000)
assert fresh and not unlock("chest", stale)  # the first holder came too late and harms nobody
assert r.execute_command("DELEX", "game:lock:chest", "IFEQ", fresh) == 1  # the same, in Redis 8.4's words

assert [allowed("bob", 3, 1) for _ in range(5)] == [True, True, True, False, False]
time.sleep(1.01)
assert allowed("bob", 3, 1)
clear()
print("ok")
