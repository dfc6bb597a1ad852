"""redis-py with Sentinel: adds numbers to a set at the master and notes what was acknowledged.

usage: writer.py KEY LEDGER HOST:PORT…   (Sentinels of `mymaster`); runs until it is killed.
"""
import sys
import time

import redis
from redis.sentinel import Sentinel

key, ledger = sys.argv[1], open(sys.argv[2], "a", buffering=1)
places = [(word.rsplit(":", 1)[0], int(word.rsplit(":", 1)[1])) for word in sys.argv[3:]]
sentinel = Sentinel(places, socket_timeout=0.3, sentinel_kwargs={"socket_timeout": 0.3})
master = sentinel.master_for("mymaster", socket_timeout=0.5)
number = 0
while True:
    number += 1
    try:
        if master.sadd(key, number) == 1:
            ledger.write(f"{number} {time.time():.3f}\n")
        time.sleep(0.003)
    except (redis.RedisError, OSError):
        time.sleep(0.02)
