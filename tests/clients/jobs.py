"""A workload of rq: several workers, retries, failures, dependencies, delays, priorities, results.

    jobs.py PORT

The file is also the module whose functions the workers run. What the jobs did stands in
lists and counters of the same server.
"""

import collections
import datetime
import os
import pathlib
import subprocess
import sys
import time

import redis
from rq import Queue, Retry, Worker, get_current_job
from rq.command import send_stop_job_command
from rq.job import Dependency, Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

WORKERS = 3
LIMIT_S = 60
QUEUES = ["high", "default", "low"]


# What the workers run.


def connection():
    return redis.Redis(port=int(os.environ["JOBS_PORT"]))


def square(number):
    connection().rpush("squared", number)
    return number * number


def fail():
    connection().incr("failures")
    raise ValueError("on purpose")


def fail_twice():
    if connection().incr("attempts") < 3:
        raise ValueError("not yet")
    return "at last"


def note(name):
    connection().rpush("order", name)


def total(*identifiers):
    server = connection()
    return sum(Job.fetch(one, connection=server).return_value() for one in identifiers)


def sleep(seconds):
    job = get_current_job()
    job.meta["began"] = True
    job.save_meta()
    time.sleep(seconds)


# What drives them.


def until(what, condition):
    """Waits until the condition gives something."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {LIMIT_S} s: {what}")


class Workers:
    """Worker processes; the first looks after scheduled jobs as well."""

    def __init__(self, port, count, *options):
        command = [sys.executable, "-m", "rq.cli", "worker", "--url", f"redis://127.0.0.1:{port}", "--quiet",
                   "--with-scheduler", *options, *QUEUES]
        folder = str(pathlib.Path(__file__).resolve().parent)
        environment = {**os.environ, "JOBS_PORT": str(port), "PYTHONPATH": folder, "PYTHONWARNINGS": "ignore"}
        self.processes = [subprocess.Popen(command, env=environment) for _ in range(count)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(LIMIT_S)


def many_jobs(server, queue):
    jobs = queue.enqueue_many([Queue.prepare_data("jobs.square", (number,)) for number in range(200)])
    finished = FinishedJobRegistry(queue=queue)
    until("200 results", lambda: {job.id for job in jobs} <= set(finished.get_job_ids()))
    assert [job.return_value(refresh=True) for job in jobs] == [number * number for number in range(200)]
    counted = collections.Counter(int(number) for number in server.lrange("squared", 0, -1))
    assert counted == collections.Counter(range(200)), "each job runs exactly once"
    assert StartedJobRegistry(queue=queue).count == 0 and queue.count == 0


def failures_and_retries(server, queue):
    failing = queue.enqueue("jobs.fail", retry=Retry(max=2))
    stubborn = queue.enqueue("jobs.fail_twice", retry=Retry(max=5, interval=[1, 1]))
    until("the failure", lambda: failing.get_status() == JobStatus.FAILED)
    assert int(server.get("failures")) == 3, "one run and two more"
    assert "on purpose" in failing.latest_result().exc_string
    assert failing.id in FailedJobRegistry(queue=queue).get_job_ids()
    until("the third attempt", lambda: stubborn.get_status() == JobStatus.FINISHED)
    assert stubborn.return_value() == "at last" and int(server.get("attempts")) == 3
    # Whoever puts a failed job back runs it once more.
    FailedJobRegistry(queue=queue).requeue(failing)
    until("the failure again", lambda: int(server.get("failures")) > 3)


def dependencies(queue):
    parts = [queue.enqueue("jobs.square", number) for number in (3, 4)]
    names = [job.id for job in parts]
    sum_of_both = queue.enqueue("jobs.total", *names, depends_on=Dependency(jobs=parts))
    until("the job that depends on two", lambda: sum_of_both.get_status() == JobStatus.FINISHED)
    assert sum_of_both.return_value() == 25
    lost = queue.enqueue("jobs.fail")
    orphan = queue.enqueue("jobs.note", "orphan", depends_on=lost)
    allowed = queue.enqueue("jobs.square", 5, depends_on=Dependency(jobs=[lost], allow_failure=True))
    until("the job that may run after a failure", lambda: allowed.get_status() == JobStatus.FINISHED)
    assert orphan.get_status() == JobStatus.DEFERRED


def delays(queue):
    began = time.time()
    job = queue.enqueue_in(datetime.timedelta(seconds=2), "jobs.square", 6)
    assert job.get_status() == JobStatus.SCHEDULED and job in ScheduledJobRegistry(queue=queue)
    until("the scheduled job", lambda: job.get_status() == JobStatus.FINISHED)
    assert job.return_value() == 36 and time.time() - began >= 1
    assert len(ScheduledJobRegistry(queue=queue)) == 0


def stopping(server, queue):
    job = queue.enqueue("jobs.sleep", LIMIT_S * 2)
    until("the job's start", lambda: job.get_meta(refresh=True).get("began"))
    send_stop_job_command(server, job.id)
    until("the job's end", lambda: job.get_status() == JobStatus.STOPPED)


def priorities(port, server, queues):
    """All jobs wait before the only worker comes: it empties queue after queue."""
    for name in reversed(QUEUES):
        for number in range(5):
            queues[name].enqueue("jobs.note", f"{name}{number}")
    server.delete("order")
    with Workers(port, 1, "--burst") as workers:
        workers.processes[0].wait(LIMIT_S)
    wanted = [f"{name}{number}" for name in QUEUES for number in range(5)]
    assert [name.decode() for name in server.lrange("order", 0, -1)] == wanted


def main():
    port = int(sys.argv[1])
    server = redis.Redis(port=port)
    server.flushall()
    queues = {name: Queue(name, connection=server) for name in QUEUES}
    priorities(port, server, queues)
    with Workers(port, WORKERS):
        until("the workers", lambda: Worker.count(connection=server) == WORKERS)
        many_jobs(server, queues["default"])
        failures_and_retries(server, queues["high"])
        dependencies(queues["low"])
        delays(queues["default"])
        stopping(server, queues["default"])
    assert Worker.count(connection=server) == 0, "workers sign off"
    print("rq: passed")


if __name__ == "__main__":
    main()
