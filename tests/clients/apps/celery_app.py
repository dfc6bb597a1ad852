"""Celery: broker and result backend, with a worker process: results, retries, countdown, groups, chains, chords."""
import logging
import subprocess
import sys
import time

import common
from celery import Celery, chain, chord, group
from celery.exceptions import TimeoutError as ResultTimeout
from common import check, raises, run, until

app = Celery("apps", broker=common.URL, backend=common.URL)
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=False, result_expires=600,
                broker_transport_options={"visibility_timeout": 3600}, worker_send_task_events=True)


@app.task(name="add")
def add(a, b):
    return a + b


@app.task(name="total")
def total(numbers):
    return sum(numbers)


@app.task(name="flaky", bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task(name="broken")
def broken():
    raise ValueError("never works")


@app.task(name="steps", bind=True)
def steps(self):
    self.update_state(state="PROGRESS", meta={"done": 3})
    time.sleep(0.5)
    return "done"


def main():
    command = [sys.executable, "-W", "ignore", __file__, "worker", str(common.PORT), common.HOST]
    common.workers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    check("result", add.delay(2, 3).get(timeout=10), 5)
    check("retries", flaky.delay().get(timeout=10), 2)
    failing = broken.delay()
    check("error", raises(ValueError, failing.get, timeout=10), "never works")
    check("state of an error", failing.state, "FAILURE")

    start = time.monotonic()
    check("countdown", add.apply_async((1, 1), countdown=1).get(timeout=10), 2)
    waited = time.monotonic() - start
    check(f"countdown waits ({waited:.2f} s)", 0.9 < waited < 4, True)

    check("group", group(add.s(n, n) for n in range(20))().get(timeout=10), [2 * n for n in range(20)])
    check("chain", chain(add.s(1, 2), add.s(10), add.s(100))().get(timeout=10), 113)
    check("chord", chord((add.s(n, 1) for n in range(10)), total.s())().get(timeout=10), 55)

    work = steps.delay()
    until(lambda: work.state == "PROGRESS")
    check("progress", work.info, {"done": 3})
    check("finished", work.get(timeout=10), "done")
    work.forget()
    check("forgotten", app.AsyncResult(work.id).state, "PENDING")

    never = add.apply_async((1, 1), queue="nobody")
    check("no worker", "timed out" in raises(ResultTimeout, never.get, timeout=0.3), True)
    with app.connection_for_write() as connection:
        check("waiting in its queue", connection.default_channel.queue_declare("nobody", passive=True).message_count, 1)
        check("purged", connection.default_channel.queue_purge("nobody"), 1)
    check("remote control", [list(reply.values())[0] for reply in app.control.ping(timeout=1)], [{"ok": "pong"}])
    app.control.shutdown()
    check("worker ends", common.workers[0].wait(10), 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        logging.disable(logging.CRITICAL)
        app.worker_main(["worker", "--pool=threads", "--concurrency=4", "--without-mingle", "-n", "worker@test"])
    else:
        run(main)
