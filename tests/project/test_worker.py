"""gunicorn's worker: its threads, and what it does not write."""

import logging
import threading
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from authserver.worker import Logger, Threads

PATIENCE = 10


class WorkerOfOne:
    """As much of a worker as its threads ask for: `handle` serves, and what was served comes out of `done`."""

    def __init__(self, handle):
        self.handle, self.log, self.done = handle, logging.getLogger("gunicorn.error"), SimpleQueue()
        self.method_queue = SimpleNamespace(defer=lambda finish, connection, served: finish(connection, served))

    def finish_request(self, connection, served):
        self.done.put((connection, served.cancelled(), served.result()))


def test_each_connection_is_served_by_one_thread_and_handed_back_with_what_became_of_it():
    worker = WorkerOfOne(handle=lambda connection: f"kept {connection}")
    threads = Threads(worker, number=3)

    for number in range(20):
        threads.take(number)
    handed_back = sorted(worker.done.get(timeout=PATIENCE) for _ in range(20))
    threads.shutdown(wait=False)

    assert handed_back == [(number, False, f"kept {number}") for number in range(20)]


def test_as_many_are_served_at_once_as_there_are_threads():
    together = threading.Barrier(3)
    worker = WorkerOfOne(handle=lambda connection: together.wait(PATIENCE) >= 0)
    threads = Threads(worker, number=3)

    for number in range(3):
        threads.take(number)
    handed_back = [worker.done.get(timeout=PATIENCE) for _ in range(3)]
    threads.shutdown(wait=False)

    assert sorted(handed_back) == [(number, False, True) for number in range(3)]


def test_a_thread_outlives_whatever_is_raised_and_the_connection_is_not_kept(caplog):
    def handle(connection):
        if connection == "bad":
            raise SystemExit("by a library")
        return True

    worker = WorkerOfOne(handle)
    threads = Threads(worker, number=1)

    threads.take("bad")
    threads.take("good")
    handed_back = [worker.done.get(timeout=PATIENCE) for _ in range(2)]
    threads.shutdown(wait=False)

    assert handed_back == [("bad", False, False), ("good", False, True)]
    assert [record.getMessage() for record in caplog.records] == ["a connection is given up"]


def test_threads_end_when_they_are_shut_down():
    threads = Threads(WorkerOfOne(handle=lambda connection: None), number=2)

    threads.shutdown(wait=False)
    for thread in threads._threads:
        thread.join(PATIENCE)

    assert not any(thread.is_alive() for thread in threads._threads)


@pytest.mark.parametrize(("file", "is_written"), [(None, False), ("-", True)])
def test_answers_are_put_into_words_where_somebody_asked_for_an_access_log_alone(file, is_written):
    config = Config()
    config.set("accesslog", file)
    config.set("logconfig_dict", {"version": 1, "disable_existing_loggers": False})

    assert Logger(config).access_log_enabled is is_written
