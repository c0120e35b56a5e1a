"""gunicorn's worker: its threads, and what it does not write."""

import logging
import select
import selectors
import socket
import threading
import time
from contextlib import ExitStack
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn

from authserver import listening
from authserver import worker as module
from authserver.crowding import LATE_SECONDS, crowding
from authserver.worker import CROWD, Logger, Threads, Worker

PATIENCE = 10


class WorkerOfOne:
    """As much of a worker as its threads ask for: `handle` serves, and what was served comes out of `done`."""

    def __init__(self, handle, *, alive=True, keep=None):
        self.handle, self.log, self.done = handle, logging.getLogger("gunicorn.error"), SimpleQueue()
        self.alive, self.keep = alive, keep or (lambda connection: self.done.put((connection, "kept")))
        self.method_queue = SimpleNamespace(defer=lambda finish, connection, served: finish(connection, served))

    def finish_request(self, connection, served):
        self.done.put((connection, served.cancelled(), served.result()))


def test_each_connection_is_served_by_one_thread_and_handed_back_with_what_became_of_it():
    worker = WorkerOfOne(handle=lambda connection: f"kept {connection.number}")
    threads = Threads(worker, number=3)

    with socket.socket() as sock:  # so many are a crowd: how long they have waited is looked at
        for number in range(20):
            threads.take(SimpleNamespace(number=number, sock=sock))
        handed_back = [worker.done.get(timeout=PATIENCE) for _ in range(20)]
    threads.shutdown(wait=False)

    assert sorted((connection.number, *rest) for connection, *rest in handed_back) == [(each, False, f"kept {each}") for each in range(20)]


def test_who_has_waited_with_a_crowd_behind_is_late_and_the_crowd_itself_is_not():
    begin = threading.Event()
    worker = WorkerOfOne(handle=lambda _: begin.wait(PATIENCE) and ("late" if crowding.is_late() else "in time"))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        sock, _ = listener.accept()
        client.sendall(b"GET / HTTP/1.1")
        time.sleep(LATE_SECONDS + 0.1)

        threads = Threads(worker, number=1)
        for _ in range(CROWD + 3):
            threads.take(SimpleNamespace(sock=sock))
        begin.set()
        _, *others = [worker.done.get(timeout=PATIENCE)[2] for _ in range(CROWD + 3)]
        threads.shutdown(wait=False)
        sock.close()

    assert others == [*["late"] * 2, *["in time"] * CROWD]


def test_as_many_are_served_at_once_as_there_are_threads():
    together = threading.Barrier(3)
    worker = WorkerOfOne(handle=lambda connection: together.wait(PATIENCE) < 0)
    threads = Threads(worker, number=3)

    for number in range(3):
        threads.take(number)
    handed_back = [worker.done.get(timeout=PATIENCE) for _ in range(3)]
    threads.shutdown(wait=False)

    assert sorted(handed_back) == [(number, False, False) for number in range(3)]


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

    assert handed_back == [("bad", False, False), ("good", "kept")]
    assert [record.getMessage() for record in caplog.records] == ["a connection is given up"]


def test_a_connection_that_is_kept_wakes_nobody_unless_the_worker_stops():
    serving, stopping = (WorkerOfOne(handle=lambda connection: True, alive=alive) for alive in (True, False))

    for worker in (serving, stopping):
        threads = Threads(worker, number=1)
        threads.take("a connection")
        threads.shutdown(wait=False)

    assert serving.done.get(timeout=PATIENCE) == ("a connection", "kept")
    assert stopping.done.get(timeout=PATIENCE) == ("a connection", False, True)


def test_a_connection_that_cannot_be_kept_is_handed_back(caplog):
    def keep(connection):
        raise OSError("no space left")

    worker = WorkerOfOne(handle=lambda connection: True, keep=keep)
    threads = Threads(worker, number=1)

    threads.take("a connection")
    threads.shutdown(wait=False)

    assert worker.done.get(timeout=PATIENCE) == ("a connection", False, False)


@pytest.fixture
def worker():
    """One that is not started, with a loop of its own."""
    worker = Worker(0, 0, [], SimpleNamespace(), 10, Config(), logging.getLogger("gunicorn.error"))
    worker.poller, worker.taken = selectors.DefaultSelector(), []
    worker.tpool = SimpleNamespace(take=worker.taken.append)
    yield worker
    worker.poller.close()
    worker.tmp.close()


@pytest.fixture
def connection_of(worker):
    """A connection that has been served, and its client."""
    with ExitStack() as sockets:

        def make(*, read_ahead=b""):
            ours, client = (sockets.enter_context(end) for end in socket.socketpair())
            connection = TConn(worker.cfg, ours, ("192.0.2.1", 1), ("192.0.2.2", 2))
            connection.init()
            connection.parser.unreader.unread(read_ahead)
            return connection, client

        yield make


def test_the_next_request_of_a_kept_connection_is_served(worker, connection_of):
    connection, client = connection_of()

    worker.keep(connection)
    worker.wait_for_and_dispatch_events(timeout=0)
    before = list(worker.taken)
    client.sendall(b"GET / HTTP/1.1")
    worker.wait_for_and_dispatch_events(timeout=PATIENCE)

    assert before == []
    assert worker.taken == [connection]
    assert not worker.keepalived_conns


def test_a_request_that_came_along_with_the_one_before_is_served_at_once(worker, connection_of):
    connection, _ = connection_of(read_ahead=b"GET / HTTP/1.1")

    worker.keep(connection)

    assert worker.taken == [connection]
    assert not worker.keepalived_conns


def test_a_worker_that_stops_keeps_connections_for_a_moment(worker, connection_of):
    before, after = (connection_of()[0] for _ in range(2))
    soon = time.monotonic() + STOP_KEEPALIVE_LINGER

    worker.keep(before)
    assert before.timeout > soon
    worker.alive = False
    worker._cap_keepalive(soon)
    worker.keep(after)  # its thread looked just before

    assert before.timeout <= soon
    assert after.timeout <= soon + PATIENCE


def test_a_connection_that_the_loop_does_not_take_is_kept_nowhere(worker, connection_of):
    connection, _ = connection_of()
    worker.poller.register(connection.sock, selectors.EVENT_READ)

    with pytest.raises(KeyError):
        worker.keep(connection)

    assert not worker.keepalived_conns


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


@pytest.mark.parametrize(
    ("others", "ends"), [({}, True), ({"reexec_pid": 7}, False), ({"master_pid": 7}, False), ({"systemd": True}, False)]
)
def test_sockets_end_with_a_master_that_has_them_alone(monkeypatch, others, ends):
    monkeypatch.setattr(listening, "_ends", bytearray(1))
    stopped = []
    monkeypatch.setattr(module, "_stop", lambda *given: stopped.append(given))
    master = SimpleNamespace(**({"reexec_pid": 0, "master_pid": 0, "systemd": False} | others))

    Arbiter.stop(master)

    assert listening.ends() is ends
    assert stopped == [(master, True)]


def test_who_has_connected_is_taken_in_and_nobody_connects_while_the_socket_is_closed(monkeypatch, worker):
    monkeypatch.setattr(listening, "_ends", bytearray([True]))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()), socket.socket() as late:
        late.setblocking(False)
        listener.setblocking(False)
        worker.sockets = [ClosesLate(listener, before=lambda: late.connect_ex(listener.getsockname()))]

        worker._take_in_the_last()
        _, connected, _ = select.select([], [late], [], 0.2)

        [taken] = worker.taken
        taken.close()
        assert not connected  # or it would have been reset


class ClosesLate:
    """A socket to listen at; just before it is closed something happens."""

    def __init__(self, listener, *, before):
        self._listener, self._before = listener, before

    def __getattr__(self, name):
        return getattr(self._listener, name)

    def close(self):
        self._before()
        self._listener.close()
