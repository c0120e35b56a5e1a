"""Connections that are spread evenly over the server's processes: which of them accepts one is a matter of luck."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from tests.bench.cpu import children_of
from tests.bench.generator import read_answer

AT_MOST = 40  # tries for each connection that is wanted


def balanced(port: int, *, server: int, number: int) -> list[tuple[socket.socket, int]]:
    """`number` open connections to the processes of the master `server`, each with the index of its process, in turns."""
    workers = children_of(server)
    by_worker: dict[int, list[socket.socket]] = {worker: [] for worker in workers}
    share = -(-number // len(workers))
    spare = []
    for _ in range(AT_MOST * number):
        if all(len(served) >= share for served in by_worker.values()):
            break
        batch = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(len(workers))]
        for sock in batch:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for sock in batch:
            read_answer(sock)
            served = by_worker[_server_of(sock, workers)]
            (served if len(served) < share else spare).append(sock)
    for sock in spare:
        sock.close()
    rows = zip(*([(sock, index) for sock in served] for index, served in enumerate(by_worker.values())), strict=False)
    chosen = [pair for row in rows for pair in row][:number]
    if len(chosen) < number:
        raise RuntimeError(f"one of the server's processes takes no connections: {[len(served) for served in by_worker.values()]}")
    return chosen


def _server_of(sock: socket.socket, workers: list[int]) -> int:
    inode = _inode_at_the_other_end(sock)
    [worker] = [worker for worker in workers if inode in _sockets_of(worker)]
    return worker


def _inode_at_the_other_end(sock: socket.socket) -> str:
    here, there = (f":{end[1]:04X}" for end in (sock.getsockname(), sock.getpeername()))
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, *columns = line.split()
        if local.endswith(there) and remote.endswith(here):
            return f"socket:[{columns[6]}]"
    raise LookupError("the connection is not in /proc/net/tcp")


def _sockets_of(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(os.readlink(descriptor))
    return found
