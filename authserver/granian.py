"""Granian in gunicorn's place: `python -m authserver.granian`. Settings and hooks are those of authserver/gunicorn.py.

Of Granian it takes what accepts, reads and writes, which is hyper; the processes are looked after here.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from django.conf import settings
from gunicorn.systemd import sd_notify

try:
    from granian._granian import CallbackScheduler, RSGIWorker, SocketHolder, WorkerSignal
    from granian.http import HTTP1Settings
except ModuleNotFoundError:
    sys.exit("Granian is not installed: python -m pip install --require-hashes --requirement requirements-granian.txt")

from authserver import draining, listening
from authserver import gunicorn as shared
from authserver.env import ConfigurationError

BACKLOG = 2048
CONNECTIONS = 800  # of each process, which may have 1024 files open in many places; those beyond wait to be accepted
MAX_HEAD_BYTES = 32 * 1024
IDLE_THREAD_SECONDS = 600  # a thread that ends closes its connection to the database
SHORTEST_LIFE_SECONDS = 1.0
LAST_REQUESTS_SECONDS = 0.5
TOLD_TO_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}

logger = logging.getLogger("authserver.granian")


class Server:
    """The master: a process that ends is replaced. Named as gunicorn's hooks expect it."""

    LISTENERS = ()  # what they set on a socket, hyper would not heed

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.log = logger
        self.WORKERS: dict[int, float] = {}  # by process id, when it began

    def run(self, listener: socket.socket, serve: Any) -> None:
        while True:
            while len(self.WORKERS) < shared.workers:
                self._fork(listener, serve)
            if signal.sigwait({*TOLD_TO_STOP, signal.SIGCHLD}) in TOLD_TO_STOP:
                break
            for began_at in self._bury():
                # One that cannot even begin is not tried again as fast as the machine allows.
                time.sleep(max(0.0, SHORTEST_LIFE_SECONDS - (time.monotonic() - began_at)))
        listener.close()  # the processes have it too, and the last one to close it ends it
        self._stop()

    def _fork(self, listener: socket.socket, serve: Any) -> None:
        shared.pre_fork(self, None)
        pid = os.fork()
        if pid:
            self.WORKERS[pid] = time.monotonic()
            return
        status = 1
        try:
            serve(self, listener)
            status = 0
        except BaseException:
            self.log.exception("a process could not serve")
        finally:
            os._exit(status)

    def _bury(self) -> list[float]:
        """Those that have ended: when each of them began."""
        ended = []
        while self.WORKERS:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            if pid not in self.WORKERS:
                continue  # as the first process of a container it is given the orphans of others
            ended.append(self.WORKERS.pop(pid))
            if status:
                self.log.error("Process %d ended with status %d", pid, os.waitstatus_to_exitcode(status))
            shared.child_exit(self, None)
        return ended

    def _stop(self) -> None:
        deadline = time.monotonic() + settings.DRAIN_SECONDS + LAST_REQUESTS_SECONDS + shared.graceful_timeout
        for pid in self.WORKERS:
            os.kill(pid, signal.SIGTERM)
        while self.WORKERS and (left := deadline - time.monotonic()) > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left)
            self._bury()
        for pid in self.WORKERS:
            os.kill(pid, signal.SIGKILL)


def serve(server: Server, listener: socket.socket) -> None:
    """In a process of its own, until it is told to stop or its master is gone."""
    from authserver.rsgi import AtOnce, Bridge
    from authserver.wsgi import application

    asked, ended = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    shared.post_fork(server, None)
    shared.post_worker_init(None)
    bridge, loop, stop = Bridge(application), AtOnce(), WorkerSignal()
    bridge.watch()
    stop.add_cb(ended.set)
    scheduler = CallbackScheduler(loop, None, None, None, None)
    scheduler._schedule_fn = bridge.take
    door = listener.dup()
    _worker(listener).serve_mtr(scheduler, loop, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # last: no other thread is to be given the signal
    while not asked.wait(1) and os.getppid() == server.pid:
        pass
    draining.begin()
    time.sleep(settings.DRAIN_SECONDS)
    listening.let_nobody_in(door)
    door.close()
    time.sleep(LAST_REQUESTS_SECONDS)  # hyper hangs up on those that it has accepted and who have not sent anything yet
    stop.set()
    ended.wait(shared.graceful_timeout)
    shared.worker_exit(server, None)


def _worker(listener: socket.socket) -> Any:
    http1 = HTTP1Settings(header_read_timeout=shared.keepalive * 1000, max_buffer_size=MAX_HEAD_BYTES)
    no_tls: tuple[Any, ...] = (False, None, None, None, "tls1.3", None, [], False)
    sockets = (None, SocketHolder(listener.detach(), False, BACKLOG))
    threads = (1, 1, shared.threads, IDLE_THREAD_SECONDS)
    return RSGIWorker(os.getpid(), sockets, None, *threads, CONNECTIONS, "1", http1, None, False, None, *no_tls, (None, None))


def main() -> None:
    description = "Serve by Granian in gunicorn's place. It takes no options: the settings are those of docs/settings.md."
    argparse.ArgumentParser(prog="python -m authserver.granian", description=description).parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {*TOLD_TO_STOP, signal.SIGCHLD})
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from authserver import wsgi  # noqa: F401 - loaded once, and shared by the processes

    server = Server()
    host, _, port = shared.bind.rpartition(":")
    try:
        shared.on_starting(server)
        listener = socket.create_server((host, int(port)), backlog=BACKLOG)
    except (ConfigurationError, OSError) as error:
        sys.exit(f"The server cannot start: {error}")
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    shared.when_ready(server)
    sd_notify("READY=1", logger)  # as gunicorn tells systemd
    try:
        server.run(listener, serve)
    finally:
        shared.on_exit(server)


if __name__ == "__main__":
    main()
