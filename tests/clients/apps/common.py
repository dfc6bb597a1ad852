"""What the programs beside this file share: `python PROGRAM PORT [HOST]`, one PASS or FAIL line a check, exit code 1
when one fails, and an end after 20 seconds whatever happens."""
import os
import sys
import threading
import time
import traceback

arguments = [a for a in sys.argv[1:] if a != "worker"]  # programs start themselves again as their workers
PORT = int(arguments[0])
HOST = arguments[1] if len(arguments) > 1 else "127.0.0.1"
URL = f"redis://{HOST}:{PORT}/0"
failures = 0
workers = []


def check(name, seen, wanted):
    global failures
    good = seen == wanted
    failures += not good
    print(f"PASS {name}" if good else f"FAIL {name}: got {seen!r}, expected {wanted!r}", flush=True)


def raises(kind, call, *args, **options):
    """The text of the error that a call ends with, if it is of the wanted kind."""
    try:
        return f"no error, but {call(*args, **options)!r}"
    except kind as error:
        return str(error)


def until(condition):
    """Waits until the condition holds, for 5 seconds at most; the check that follows says whether it does."""
    end = time.monotonic() + 5
    while time.monotonic() < end and not condition():
        time.sleep(0.01)


def end(status):
    """Ends worker processes (those of the list `workers`) and this program."""
    for worker in workers:
        worker.kill()
    sys.stdout.flush()
    os._exit(status)


def run(main):
    def late():
        print("FAIL not at the end after 20 seconds")
        end(1)

    timer = threading.Timer(20, late)
    timer.daemon = True
    timer.start()
    try:
        main()
    except BaseException:
        print(f"FAIL {traceback.format_exc()}")
        end(1)
    end(1 if failures else 0)
