"""A closed-loop load over keep-alive connections, from a process of its own, and what it cost the server."""

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import TypeVar
from urllib.parse import urlencode

T = TypeVar("T")
HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Load:
    """What came of a load: seconds per answer in the order of their ends, and how many answers had each status."""

    seconds: list[float]
    statuses: Counter[int] = field(default_factory=Counter)
    duration: float = 0.0

    def rate(self, status: int = 200) -> float:
        return self.statuses[status] / self.duration

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Client:
    """One connection that posts forms to the token endpoint."""

    def __init__(self, port: int, *, address: str = "") -> None:
        self._port = port
        self._headers = HEADERS | ({"X-Forwarded-For": address} if address else {})
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def post(self, form: dict[str, str]) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", "/oauth/token", urlencode(form), self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            self._connection.close()
            return 0, b""

    def close(self) -> None:
        self._connection.close()


def in_a_process_of_its_own(work: Callable[..., T], *arguments: object) -> Callable[[], T]:
    """Start `work` and give what waits for its result: the generator's Python does not wait for the one that measures."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(work(*arguments)), daemon=True)
    process.start()

    sender.close()  # or the end of a process that failed is not seen here

    def result() -> T:
        try:
            found: T = receiver.recv()
        except EOFError:
            raise RuntimeError(f"{work.__name__} failed in its process; what it said stands above") from None
        finally:
            process.join()
        return found

    return result


def run_threads(number: int, *, seconds: float, step: Callable[[int], Callable[[], int]]) -> Load:
    """`number` threads, each of which repeats its step, one after the other, until the time is up."""
    taken: list[float] = []
    statuses: Counter[int] = Counter()
    began = time.perf_counter()
    end = began + seconds

    def repeat(index: int) -> None:
        do = step(index)
        while time.perf_counter() < end:
            started = time.perf_counter()
            status = do()
            taken.append(time.perf_counter() - started)
            statuses[status] += 1

    threads = [threading.Thread(target=repeat, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(taken, statuses, time.perf_counter() - began)
