"""Thousands of clients in one thread, with a token and a key each: they ask at the same time, and come again as they are told."""

import heapq
import re
import resource
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.bench.generator import Answer, whole
from tests.bench.kinds import refresh_token_of
from tests.bench.load import HEADERS, in_a_process_of_its_own
from tests.e2e.calls import refresh_form

PATIENCE_SECONDS = 30.0
AGAIN_SECONDS = 1.0  # after a connection that broke
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Member:
    """A client, and what came of it. Times are seconds; `served_at` counts from the beginning."""

    token: str = field(repr=False)
    key: str = field(repr=False)
    status: int = 0
    retry_after: int = 0
    seconds: float = 0.0  # that its last answer took
    slowest: float = 0.0  # that any of its answers took
    refusals: int = 0
    broken: int = 0  # connections that were refused, reset, or closed without an answer
    served_at: float = 0.0
    successor: str = field(default="", repr=False)

    def request(self) -> bytes:
        body = urlencode(refresh_form(self.token)).encode()
        headers = HEADERS | {"Host": "localhost", "Idempotency-Key": self.key, "Content-Length": str(len(body))}
        return "\r\n".join(["POST /oauth/token HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + body

    def next(self) -> "Member":
        """The same client with what it was given."""
        return Member(self.successor, f"next-{self.successor[-12:]}")

    def learn(self, answer: Answer, *, seconds: float) -> None:
        self.status, self.seconds, self.slowest = int(answer.status), seconds, max(self.slowest, seconds)
        retry_after = _RETRY_AFTER.search(answer.head + b"\r\n")
        self.retry_after = int(retry_after[1]) if retry_after else 0
        self.refusals += self.status == 503
        self.successor = (refresh_token_of(answer.body) or b"").decode()


def served_per_second(members: Sequence[Member]) -> float:
    """Until nine of ten are: the last ones come when they were told to, whatever the server has left to do."""
    served_at = sorted(member.served_at for member in members)
    most = max(1, len(members) * 9 // 10)
    return most / served_at[most - 1]


def p99(members: Sequence[Member]) -> float:
    """Seconds, of the last answer of each."""
    return sorted(member.seconds for member in members)[len(members) * 99 // 100]


def line(what: str, members: Sequence[Member]) -> str:
    """For the end of a run."""
    statuses = dict(Counter(member.status for member in members))
    refusals, slowest = sum(member.refusals for member in members), max(member.slowest for member in members)
    pace = f"nine of ten at {served_per_second(members):.0f}/s, the last after {max(member.served_at for member in members):.1f} s"
    return f"Herd, {what}: {statuses}, {pace}; p99 {p99(members):.2f} s, slowest {slowest:.2f} s, {refusals} refusals"


def stampede(port: int, members: Sequence[Member], *, spread: float = 0.0, at_once: int = 0, comes_again: bool = True) -> list[Member]:
    """All of them ask within `spread` seconds, or so many at once, one after the other. Who is refused comes again."""
    run = in_a_process_of_its_own(_run, port, members, spread, at_once or len(members), comes_again)
    return run()


def allow_many_files() -> None:
    """A connection is one, and where nothing else is said a process may have 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _run(port: int, members: list[Member], spread: float, at_once: int, comes_again: bool) -> list[Member]:
    allow_many_files()
    _Herd(port, members, spread=spread, at_once=at_once, comes_again=comes_again).run()
    return members


@dataclass
class _Attempt:
    member: int
    sock: socket.socket
    began_at: float
    is_sent: bool = False
    received: bytes = b""


class _Herd:
    def __init__(self, port: int, members: list[Member], *, spread: float, at_once: int, comes_again: bool) -> None:
        self._port, self._members, self._at_once, self._comes_again = port, members, at_once, comes_again
        self._requests = [member.request() for member in members]
        self._began_at = time.monotonic()
        self._due = [(self._began_at + spread * number / len(members), number) for number in range(len(members))]
        self._attempts: dict[int, _Attempt] = {}
        self._epoll = select.epoll()

    def run(self) -> None:
        while self._due or self._attempts:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now and len(self._attempts) < self._at_once:
                self._begin(heapq.heappop(self._due)[1])
            for descriptor, _ in self._epoll.poll(self._rest(now)):
                self._go_on(self._attempts[descriptor])
            self._lose_patience()

    def _rest(self, now: float) -> float:
        return min(1.0, max(0.0, self._due[0][0] - now)) if self._due and len(self._attempts) < self._at_once else 1.0

    def _begin(self, number: int) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self._port))
        self._attempts[sock.fileno()] = _Attempt(number, sock, time.monotonic())
        self._epoll.register(sock, select.EPOLLOUT)

    def _go_on(self, attempt: _Attempt) -> None:
        try:
            if not attempt.is_sent:
                attempt.sock.sendall(self._requests[attempt.member])
                attempt.is_sent = True
                self._epoll.modify(attempt.sock, select.EPOLLIN)
                return
            chunk = attempt.sock.recv(65536)
        except OSError:
            chunk = b""
        attempt.received += chunk
        answer = whole(attempt.received)
        if answer is not None:
            self._end(attempt, answer)
        elif not chunk:
            self._end(attempt, None)

    def _end(self, attempt: _Attempt, answer: Answer | None) -> None:
        now, member = time.monotonic(), self._members[attempt.member]
        del self._attempts[attempt.sock.fileno()]
        attempt.sock.close()
        if answer is None:
            member.broken += 1
        else:
            member.learn(answer, seconds=now - attempt.began_at)
            member.served_at = now - self._began_at
        if self._comes_again and (answer is None or member.status == 503):
            heapq.heappush(self._due, (now + (AGAIN_SECONDS if answer is None else member.retry_after), attempt.member))

    def _lose_patience(self) -> None:
        """The oldest come first: attempts are kept in the order in which they began."""
        latest = time.monotonic() - PATIENCE_SECONDS
        for attempt in list(self._attempts.values()) if self._is_anyone_late(latest) else []:
            if attempt.began_at < latest:
                self._end(attempt, None)

    def _is_anyone_late(self, latest: float) -> bool:
        return bool(self._attempts) and next(iter(self._attempts.values())).began_at < latest
