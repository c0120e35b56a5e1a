"""gunicorn's threaded worker, and its log.

It stops without losing a request; what it cannot read as HTTP is answered as every other refusal is.
"""

import logging
import selectors
import socket
import sys
import time
from functools import partial
from http import HTTPStatus
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import Any

from gunicorn import arbiter, glogging, util
from gunicorn.http import errors
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from authserver import draining, listening, not_http
from authserver.crowding import crowding

STATUSES = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,  # RFC 9112 §6.1
}

# What went wrong on our side although it is of the same family.
OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)

READ_ON_SECONDS = 1.0
ACCEPT_AT_ONCE, CROWD = 64, 16
# In Linux's struct tcp_info: how many connections wait to be accepted, of a listener; milliseconds since the newest bytes came.
UNACKED, LAST_DATA_RECEIVED = slice(24, 28), slice(52, 56)
TCP_INFO = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None  # others have another struct by that name

# It waits for its workers to end by the time of day, and would kill them in the middle of requests when that is set forward.
arbiter.time = SimpleNamespace(time=time.monotonic, monotonic=time.monotonic, sleep=time.sleep)
_stop = arbiter.Arbiter.stop

logger = logging.getLogger("authserver.refusals")


def stop(master: Any, graceful: bool = True) -> None:
    """The workers are to know whether their sockets end with them: after a reload, or beside another master, they do not."""
    if not (master.reexec_pid or master.master_pid or master.systemd):
        listening.end()
    _stop(master, graceful)


arbiter.Arbiter.stop = stop


class Logger(glogging.Logger):
    @property
    def access_log_enabled(self) -> bool:
        """Where somebody asked for one, and not because our lines have a form: each answer was put into words that nobody wrote."""
        return self.cfg.accesslog is not None


class Threads:
    """Those of a worker that serve: each takes the next connection, and keeps it or hands it back to the worker's loop.

    In the place of an executor: futures, and a loop that is woken after each request, cost a tenth of a refresh.
    """

    def __init__(self, worker: "Worker", *, number: int) -> None:
        self._worker = worker
        self._waiting: SimpleQueue[Any] = SimpleQueue()
        self._threads = [Thread(target=self._serve, name=f"serving-{index}", daemon=True) for index in range(number)]
        for thread in self._threads:
            thread.start()

    def take(self, connection: Any) -> None:
        self._waiting.put(connection)

    def shutdown(self, *, wait: bool) -> None:
        """As an executor's. Who serves goes on until that is done."""
        for _ in self._threads:
            self._waiting.put(None)

    def _serve(self) -> None:
        worker = self._worker
        while (connection := self._waiting.get()) is not None:
            served = Served()
            try:
                # Who has nobody behind is served, however late: to send them away would help no one.
                is_crowded = self._waiting.qsize() >= CROWD
                crowding.note_queue(_of_kernel(connection.sock, LAST_DATA_RECEIVED) / 1000 if is_crowded else 0.0)
                keeps = worker.handle(connection)
                if keeps is True and worker.alive:
                    worker.keep(connection)
                    continue
                served.keeps = keeps
            except BaseException:
                worker.log.exception("a connection is given up")
            worker.method_queue.defer(worker.finish_request, connection, served)


class Served:
    """As much of a future as the worker's loop asks for."""

    keeps: Any = False

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self.keeps


class Worker(ThreadWorker):
    alive: bool
    nr_conns: int
    tpool: Threads

    def init_process(self) -> None:
        # A setting is looked for by __getattr__ each time, in a dozen places of a request. In a worker it stays as it is.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def get_thread_pool(self) -> Threads:
        return Threads(self, number=self.cfg.threads)

    def accept(self, listener: socket.socket) -> None:
        """One, for others may be idle; more when there is a crowd, for then nobody is, and all of it waits to be served or sent away."""
        for _ in range(ACCEPT_AT_ONCE):
            super().accept(listener)
            if _of_kernel(listener, UNACKED) < CROWD or self.nr_conns >= self.worker_connections:
                break

    def enqueue_req(self, conn: Any) -> None:
        self.tpool.take(conn)

    def keep(self, conn: Any) -> None:
        """By the thread that served it: wait for the next request of this connection, without waking the loop for that."""
        if conn.parser.unreader.buf.getvalue():  # it is here already
            self.enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        if not self.alive:  # since just now: whichever comes first, this or _cap_keepalive
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
        try:
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))
        except BaseException:
            self.keepalived_conns.remove(conn)  # who hands it back is not to find it closed twice
            raise

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in list(self.keepalived_conns):  # at once: the threads append to it
            conn.timeout = min(conn.timeout, deadline)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: /ready says so, and requests are taken on for a while, until whoever balances the load sends no more."""
        if self.alive and not draining.has_begun():
            draining.begin()
            self.method_queue.defer(lambda: None)  # the loop looks again at once

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self.alive and draining.has_begun():
            timeout = min(timeout, max(draining.seconds_left(), 0.0))
        super().wait_for_and_dispatch_events(timeout)
        if draining.is_over():
            self.alive = False

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not self.alive and draining.has_begun():
            self._take_in_the_last()

    def _take_in_the_last(self) -> None:
        """Those whose connection the kernel has taken already: closing the socket on them would reset it."""
        if listening.ends():
            for listener in self.sockets:
                listening.let_nobody_in(listener)
            time.sleep(listening.HANDSHAKE_SECONDS)
        for listener in self.sockets:
            count = -1
            while self.nr_conns != count:
                count = self.nr_conns
                self.accept(listener)
            listener.close()

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Of a body that nobody reads to its end, tell the client that the connection ends with the answer (RFC 9112 §9.6).

        Or it would send its next request into a connection that is gone.
        """
        from oauth.http import MAX_BODY_BYTES  # the worker is loaded before the application is

        if draining.has_begun() or crowding.is_late():
            req.force_close()  # the next request of this client is another server's, or comes later
        if not any(name == "CONTENT-LENGTH" and int(value) > MAX_BODY_BYTES for name, value in req.headers):
            return bool(super().handle_request(req, conn))
        req.force_close()
        super().handle_request(req, conn)
        # Some more is taken in: what lies unread when the connection closes can cost the client the answer.
        conn.parser.finish_body(deadline=time.monotonic() + READ_ON_SECONDS)
        return False

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        if not isinstance(exc, errors.ParseException) or isinstance(exc, OURS):
            # SECURITY: without the request: gunicorn would write its address into the log, with the query.
            super().handle_error(None, client, addr, exc)
            return
        status = STATUSES.get(type(exc), HTTPStatus.BAD_REQUEST)
        # SECURITY: the kind of the error alone: its text quotes the request, and that may be a line with a secret.
        headers, body = not_http.refuse(status, reason=type(exc).__name__)
        lines = (f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers))
        try:
            util.write_nonblock(client, "\r\n".join((*lines, "", "")).encode() + body)
        except OSError:
            logger.debug("the client had gone")


def _of_kernel(sock: socket.socket, field: slice) -> int:
    """Zero where it does not tell."""
    if TCP_INFO is None:
        return 0
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, field.stop)
    except OSError:
        return 0
    return int.from_bytes(told[field], sys.byteorder)
