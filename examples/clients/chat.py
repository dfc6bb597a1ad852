"""A chat: rooms that keep their newest messages, a list of rooms by activity, unread counts.

usage: chat.py [PORT]; needs redis-py. It touches only keys that begin with "chat:".
"""
import json
import sys
import time

import redis

KEEP = 100  # messages a room

r = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379, decode_responses=True)


def join(room, user):
    r.sadd(f"chat:members:{room}", user)


def send(room, user, text):
    """The message, the cap, the room's place in the list and a count for everyone else go as one pipeline."""
    others = r.smembers(f"chat:members:{room}") - {user}
    pipe = r.pipeline(transaction=False)
    pipe.rpush(f"chat:messages:{room}", json.dumps({"from": user, "text": text}))
    pipe.ltrim(f"chat:messages:{room}", -KEEP, -1)
    pipe.zadd("chat:rooms", {room: time.time()})
    for other in others:
        pipe.hincrby(f"chat:unread:{other}", room, 1)
    pipe.execute()


def history(room, count=20):
    return [json.loads(message) for message in r.lrange(f"chat:messages:{room}", -count, -1)]


def rooms(count=10):
    """The rooms with the newest messages first."""
    return r.zrange("chat:rooms", 0, count - 1, desc=True)


def unread(user):
    return {room: int(count) for room, count in r.hgetall(f"chat:unread:{user}").items()}


def read(room, user):
    r.hdel(f"chat:unread:{user}", room)
    return history(room)


def clear():
    for key in r.scan_iter("chat:*"):
        r.unlink(key)


clear()
for user in ("ada", "bob", "eve"):
    join("lobby", user)
join("dev", "ada")
join("dev", "bob")

send("dev", "ada", "the build is green")
for number in range(150):
    send("lobby", "bob", f"message {number}")

assert rooms() == ["lobby", "dev"]
assert r.llen("chat:messages:lobby") == KEEP
assert history("lobby", 2) == [{"from": "bob", "text": "message 148"}, {"from": "bob", "text": "message 149"}]
assert unread("ada") == {"lobby": 150}
assert unread("bob") == {"dev": 1}
assert len(read("lobby", "ada")) == 20 and unread("ada") == {}
send("dev", "bob", "ship it")
assert rooms() == ["dev", "lobby"]
clear()
print("ok")
