"""streaQ: tasks over streams and a library of functions (FUNCTION LOAD, FCALL), with a worker process."""
import asyncio
import logging
import subprocess
import sys
import time

import common
from common import check, run
from streaq import StreaqRetry, TaskStatus, Worker

logging.disable(logging.CRITICAL)
worker = Worker(redis_url=common.URL, queue_name="tests", concurrency=8, priorities=["low", "high"])
tries = []


@worker.task
async def double(n: int) -> int:
    return n * 2


@worker.task
async def flaky() -> int:
    tries.append(time.monotonic())
    if len(tries) < 3:
        raise StreaqRetry("again", delay=0)
    return len(tries)


@worker.task
async def broken() -> None:
    raise ValueError("never works")


@worker.task
async def endless() -> None:
    await asyncio.sleep(60)


async def everything():
    async with worker:
        functions = await worker.redis.function_list()
        check("library of functions", "streaq" in str(functions), True)
        queued = await double.enqueue(1)
        check("queued", [await queued.status(), await worker.queue_size()], [TaskStatus.QUEUED, 1])
        command = [sys.executable, __file__, "worker", str(common.PORT), common.HOST]
        common.workers.append(subprocess.Popen(command))
        check("result", (await queued.result(timeout=5)).result, 2)
        check("status", await queued.status(), TaskStatus.DONE)

        start = time.monotonic()
        late = await double.enqueue(4).start(delay=1)
        check("scheduled", await late.status(), TaskStatus.SCHEDULED)
        check("delayed", (await late.result(timeout=5)).result, 8)
        waited = time.monotonic() - start
        check(f"waited ({waited:.2f} s)", 0.9 < waited < 4, True)

        again = await (await flaky.enqueue()).result(timeout=8)
        check("retried", [again.result, again.tries], [3, 3])
        failed = await (await broken.enqueue()).result(timeout=5)
        check("failed", [failed.success, str(failed.exception)], [False, "never works"])

        many = [double.enqueue(n) for n in range(20)]
        await worker.enqueue_many(many)
        results = [(await task.result(timeout=5)).result for task in many]
        check("twenty at once", results, [n * 2 for n in range(20)])

        chained = await double.enqueue(5).then(double)
        check("the result is the next one's argument", (await chained.result(timeout=5)).result, 20)

        long = await endless.enqueue()
        while await long.status() != TaskStatus.RUNNING:
            await asyncio.sleep(0.02)
        check("aborted", await long.abort(5), True)
        never = await double.enqueue(9).start(delay=60)
        check("aborted before its time", [await never.abort(5), await worker.queue_size()], [True, 0])


def main():
    asyncio.run(everything())


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker.run_sync()
    else:
        run(main)
