"""RQ: queues, a worker in burst mode, results, failing and retried jobs, dependencies, scheduled jobs, cancelling."""
import datetime
import logging
import time

import common
import redis
import rq
from common import check, run, until
from rq import Queue, Retry
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry
from rq.timeouts import TimerDeathPenalty

r = redis.Redis(common.HOST, common.PORT)


class Worker(rq.SimpleWorker):
    """Runs jobs in this process, where `main` looks for the functions too."""

    death_penalty_class = TimerDeathPenalty


def add(a, b):
    return a + b


def broken():
    raise ValueError("never works")


def flaky():
    if r.incr("tries") < 3:
        raise ValueError("not yet")
    return "at last"


def last_word(of):
    return f"after {Job.fetch(of, connection=r).return_value()}"


def burst(*queues, **options):
    return Worker(queues, connection=r).work(burst=True, logging_level=logging.CRITICAL, **options)


def main():
    high, low = Queue("high", connection=r), Queue("low", connection=r)
    second = low.enqueue(add, 1, 1)
    first = high.enqueue(add, 2, 3, job_timeout=5, result_ttl=60, meta={"from": "test"})
    check("queued", [first.get_status(), len(high), high.job_ids], ["queued", 1, [first.id]])
    check("burst", burst(high, low), True)
    check("results", [first.return_value(), second.return_value()], [5, 2])
    check("finished", [job.get_status(refresh=True) for job in (first, second)], ["finished"] * 2)
    check("registry", first.id in FinishedJobRegistry(queue=high), True)
    check("fetched", Job.fetch(first.id, connection=r).meta, {"from": "test"})
    check("expiry of a result", 0 < r.ttl(f"rq:job:{first.id}") <= 60, True)

    failing = high.enqueue(broken)
    burst(high)
    check("failed", failing.get_status(refresh=True), "failed")
    check("its error", "ValueError: never works" in failing.latest_result().exc_string, True)
    check("failed registry", failing.id in FailedJobRegistry(queue=high), True)
    failing.requeue()
    check("requeued", [failing.get_status(refresh=True), high.job_ids], ["queued", [failing.id]])
    high.empty()
    check("emptied", high.count, 0)

    retried = high.enqueue(flaky, retry=Retry(max=3))
    burst(high)
    check("retried", [retried.return_value(), int(r.get("tries"))], ["at last", 3])

    parent = low.enqueue(add, 20, 1)
    child = high.enqueue(last_word, parent.id, depends_on=parent)
    check("deferred", [child.get_status(), high.count], ["deferred", 0])
    burst(low)
    check("no longer", high.job_ids, [child.id])
    burst(high)
    check("dependency", child.return_value(), "after 21")

    many = high.enqueue_many([Queue.prepare_data(add, (n, n)) for n in range(50)])
    check("fifty at once", high.count, 50)
    burst(high)
    check("fifty results", [job.return_value() for job in many], [2 * n for n in range(50)])

    later = high.enqueue_in(datetime.timedelta(seconds=1), add, 3, 4)
    never = high.enqueue_in(datetime.timedelta(hours=1), add, 0, 0)
    registry = ScheduledJobRegistry(queue=high)
    check("scheduled", [later.get_status(), later.id in registry, high.count], ["scheduled", True, 0])
    never.cancel()
    check("cancelled", [never.get_status(refresh=True), never.id in registry], ["canceled", False])
    time.sleep(1)
    burst(high, with_scheduler=True)
    until(lambda: high.count == 0 and later.id not in registry)
    burst(high)
    check("scheduled job ran", later.return_value(), 7)

    front = [high.enqueue(add, 1, 1), high.enqueue(add, 1, 1, at_front=True)]
    check("at the front", high.job_ids, [front[1].id, front[0].id])
    high.delete()
    check("no queue is left", [high.count, Worker.all(connection=r)], [0, []])


if __name__ == "__main__":
    import rq_jobs  # workers find functions by the name of their module, which must not be __main__

    run(rq_jobs.main)
