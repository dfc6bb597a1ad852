"""Django Channels: both layers of channels_redis: send and receive, groups, expiry, capacity, many at once."""
import asyncio

import common
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from common import check, run

HOSTS = [common.URL]


async def nothing(layer, channel, seconds=0.3):
    """True if no message arrives."""
    try:
        return await asyncio.wait_for(layer.receive(channel), seconds)
    except asyncio.TimeoutError:
        return True


async def receive(layer, channel):
    return await asyncio.wait_for(layer.receive(channel), 5)


async def both(name, layer, other):
    """What the two layers have in common; `other` is a second process' layer."""
    settled = 0.1  # the pubsub layer does not wait for the answers to its SUBSCRIBE; what is sent before is lost
    message = {"type": "chat.message", "text": "grüße", "raw": b"\x00\xff", "number": 2**40, "list": [1, None, 1.5]}
    channel = await layer.new_channel()
    await asyncio.sleep(settled)
    await other.send(channel, message)
    check(f"{name}: sent to a channel", await receive(layer, channel), message)
    for n in range(20):
        await other.send(channel, {"type": "n", "n": n})
    check(f"{name}: in order", [(await receive(layer, channel))["n"] for _ in range(20)], list(range(20)))

    mine, second, theirs = await layer.new_channel(), await layer.new_channel(), await other.new_channel()
    await layer.group_add("room", mine)
    await layer.group_add("room", second)
    await other.group_add("room", theirs)
    await asyncio.sleep(settled)
    await other.group_send("room", message)
    got = await asyncio.gather(receive(layer, mine), receive(layer, second), receive(other, theirs))
    check(f"{name}: to a group", got, [message] * 3)
    await layer.group_discard("room", second)
    await layer.group_send("room", {"type": "again"})
    check(f"{name}: members get it", [await receive(layer, mine), await receive(other, theirs)], [{"type": "again"}] * 2)
    check(f"{name}: who left gets nothing", await nothing(layer, second), True)
    await layer.group_send("empty", {"type": "lost"})

    waiting = asyncio.ensure_future(receive(layer, mine))
    await asyncio.sleep(0.2)
    await other.send(mine, {"type": "woken"})
    check(f"{name}: a waiting receiver", await waiting, {"type": "woken"})

    members = [await layer.new_channel() for _ in range(100)]
    for member in members:
        await layer.group_add("crowd", member)
    await asyncio.sleep(settled)
    await other.group_send("crowd", {"type": "all"})
    got = await asyncio.gather(*[receive(layer, member) for member in members])
    check(f"{name}: a hundred members", got, [{"type": "all"}] * 100)


async def lists():
    """What only the layer with lists and sorted sets has."""
    layer = RedisChannelLayer(HOSTS, capacity=5, expiry=1, channel_capacity={"big*": 10}, prefix="caps")
    for n in range(5):
        await layer.send("small", {"n": n})
    try:
        await layer.send("small", {"n": 5})
        check("capacity", "no error", "ChannelFull")
    except ChannelFull:
        check("capacity", True, True)
    for n in range(10):
        await layer.send("big", {"n": n})
    check("capacity of a pattern", [(await receive(layer, "big"))["n"] for _ in range(10)], list(range(10)))
    await asyncio.sleep(1.2)
    check("messages expire", await nothing(layer, "small"), True)
    for n in range(30):  # a full member is passed over, by the script
        await layer.group_add("flood", f"member{n}")
    for n in range(8):
        await layer.group_send("flood", {"n": n})
    check("full members are passed over", [(await receive(layer, "member7"))["n"] for _ in range(5)], list(range(5)))
    await layer.flush()
    check("flushed", await nothing(layer, "member8", 0.1), True)
    await layer.close_pools()


async def everything():
    for name, kind in (("core", RedisChannelLayer), ("pubsub", RedisPubSubChannelLayer)):
        layer, other = kind(HOSTS, prefix=name), kind(HOSTS, prefix=name)
        await both(name, layer, other)
        for one in (layer, other):
            await (one.close_pools() if name == "core" else one.flush())
    await lists()


def main():
    async_to_sync(everything)()


run(main)
