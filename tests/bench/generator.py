"""A closed loop of keep-alive connections in one thread, cheap enough to run beside the server that it asks.

A Python generator on epoll costs about 50 µs of CPU a request; it runs in a process of its own, and its cost is told apart.
"""

import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from tests.bench.kinds import Kind

T = TypeVar("T")
ANSWER_SECONDS = 30.0
MORE_SECONDS, LONGER_AT_MOST_SECONDS = 0.1, 10.0
NO_BOUNDS: Mapping[str, int] = MappingProxyType({})
_ERROR = re.compile(rb'"error":"(\w+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Outcome:
    """Of one kind of request: seconds of each good answer, and how many answers had each status and were good, or not."""

    seconds: list[float] = field(default_factory=list)
    answers: Counter[tuple[str, bool]] = field(default_factory=Counter)
    first_failure: str = ""

    def add(self, other: "Outcome") -> None:
        self.seconds += other.seconds
        self.answers += other.answers
        self.first_failure = self.first_failure or other.first_failure

    def statuses(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (status, _), number in self.answers.items():
            found[status] += number
        return dict(found)

    @property
    def failed(self) -> int:
        return sum(number for (_, is_good), number in self.answers.items() if not is_good)


@dataclass
class Result:
    duration: float
    outcomes: dict[str, Outcome]
    cpu_seconds: float  # of the generator


class Connection:
    """One client, on a socket that `process` of the server's processes serves; `choose` gives the kind of its next request."""

    def __init__(self, sock: socket.socket, *, process: int, choose: Callable[[], Kind]) -> None:
        self.sock, self.process, self.choose = sock, process, choose
        self.kind: Kind | None = None  # of the request that it waits with, or whose answer it waits for
        self.due_at = self.began_at = 0.0
        self.received = b""


class Loop:
    """All connections ask as fast as they are answered, or together `rate` times a second.

    `at_once` bounds how many requests of a kind one process of the server has in hand; a connection whose turn it is waits.
    """

    def __init__(self, connections: Sequence[Connection], *, rate: float = 0.0, at_once: Mapping[str, int] = NO_BOUNDS) -> None:
        self._connections = {each.sock.fileno(): each for each in connections}
        self._pause = len(connections) / rate if rate else 0.0
        self._at_once = at_once
        self._in_hand: Counter[tuple[int, str]] = Counter()
        self._resting = list(connections)
        self._outcomes: dict[str, Outcome] = {}
        self._asked: set[str] = set()
        self._is_recording = False
        self._epoll = select.epoll()

    def run(self, seconds: float, *, warm_up: float, window: AbstractContextManager[T]) -> tuple[Result, T]:
        """What is answered within `seconds` counts; `window` is open meanwhile, and what it gave is given beside the result.

        It lasts longer when the machine is so busy that not each kind of request was answered once.
        """
        now = time.perf_counter()
        for number, connection in enumerate(self._resting):
            connection.sock.setblocking(False)
            self._epoll.register(connection.sock, select.EPOLLIN)
            connection.due_at = now + self._pause * number / len(self._resting)
        self._go_on_for(warm_up)
        with window as seen:
            began_at, cpu = time.perf_counter(), time.process_time()
            self._is_recording = True
            self._go_on_for(seconds)
            while not self._has_heard_of_each() and time.perf_counter() < began_at + seconds + LONGER_AT_MOST_SECONDS:
                self._go_on_for(MORE_SECONDS)
            self._is_recording = False
            duration, cpu = time.perf_counter() - began_at, time.process_time() - cpu
        self._await_answers()
        return Result(duration, self._outcomes, cpu), seen

    def _go_on_for(self, seconds: float) -> None:
        now = time.perf_counter()
        end = now + seconds
        while now < end:
            wake_at = self._ask_those_who_may(now, until=end) if self._resting else end
            for descriptor, _ in self._epoll.poll(max(0.0, wake_at - now)):
                self._receive(self._connections[descriptor])
            now = time.perf_counter()

    def _has_heard_of_each(self) -> bool:
        return all(name in self._outcomes and self._outcomes[name].seconds for name in self._asked)

    def _await_answers(self) -> None:
        """So that nothing is under way when the next load begins."""
        deadline = time.perf_counter() + ANSWER_SECONDS
        while len(self._resting) < len(self._connections):
            if time.perf_counter() > deadline:
                raise TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} seconds")
            for descriptor, _ in self._epoll.poll(1):
                self._receive(self._connections[descriptor])
        self._epoll.close()

    def _ask_those_who_may(self, now: float, *, until: float) -> float:
        """Gives when the next of them is due."""
        resting, self._resting = self._resting, []
        for connection in resting:
            connection.kind = kind = connection.kind or connection.choose()
            key = (connection.process, kind.name)
            if connection.due_at > now or self._in_hand[key] >= self._at_once.get(kind.name, len(self._connections)):
                self._resting.append(connection)
                continue
            self._in_hand[key] += 1
            self._asked.add(kind.name)
            connection.began_at = connection.due_at if self._pause else time.perf_counter()
            connection.sock.sendall(kind.next())
        return min((each.due_at for each in self._resting if each.due_at > now), default=until)

    def _receive(self, connection: Connection) -> None:
        chunk = connection.sock.recv(65536)
        if not chunk:
            raise ConnectionError(f"the server closed a connection after {connection.received[:300]!r}")
        connection.received += chunk
        answer = whole(connection.received)
        if answer is None:
            return
        now = time.perf_counter()
        kind, connection.kind, connection.received = connection.kind, None, b""
        if kind is None:
            raise ConnectionError(f"an answer that nobody asked for: {answer.head[:300]!r}")
        self._in_hand[connection.process, kind.name] -= 1
        is_good = kind.learn(answer.status, answer.body)
        if self._is_recording:
            self._note(kind.name, answer, is_good=is_good, seconds=now - connection.began_at)
        connection.due_at = connection.due_at + self._pause if self._pause else 0.0
        self._resting.append(connection)

    def _note(self, name: str, answer: "Answer", *, is_good: bool, seconds: float) -> None:
        outcome = self._outcomes.setdefault(name, Outcome())
        if is_good:
            outcome.seconds.append(seconds)
        outcome.answers[answer.status, is_good] += 1
        if not is_good and not outcome.first_failure:
            outcome.first_failure = answer.shape()


class Answer(NamedTuple):
    status: str
    head: bytes
    body: bytes

    def shape(self) -> str:
        """What may be shown of it: no answer of a token endpoint is printed as it came."""
        error = _ERROR.search(self.body)
        return f"{self.status} {error[1].decode() if error else ''}".strip()


def read_answer(sock: socket.socket) -> Answer:
    """The next answer, on a socket that waits."""
    received = b""
    while (answer := whole(received)) is None:
        chunk = sock.recv(65536)
        if not chunk:
            raise ConnectionError(f"the server closed a connection after {received[:300]!r}")
        received += chunk
    return answer


def whole(received: bytes) -> Answer | None:
    """None while a part of it is missing. Every answer of the server says how long it is."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(received, 0, end + 2)
    if length is None:
        raise ConnectionError(f"an answer without Content-Length: {received[:end]!r}")
    body = received[end + 4 :]
    return None if len(body) < int(length[1]) else Answer(received[9:12].decode(), received[:end], body)
