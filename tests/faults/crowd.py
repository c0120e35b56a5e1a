"""Clients that refresh, and verifiers that fetch the key set, side by side: what each was answered, and after how long."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from json import loads
from urllib.parse import urlencode

from tests.e2e.calls import refresh_form
from tests.faults.site import Site

PAUSE_SECONDS, REFUSED_SECONDS, FETCH_EVERY_SECONDS = 0.1, 0.3, 0.05
PATIENCE_SECONDS = 30
KEY_SET = "/.well-known/jwks.json"


@dataclass(frozen=True)
class Seen:
    began_at: float  # time.monotonic()
    seconds: float
    status: int
    retry_after: int
    error: str = ""


@dataclass
class Answers:
    refreshes: list[Seen] = field(default_factory=list)
    key_sets: list[Seen] = field(default_factory=list)

    def statuses(self) -> Counter[int]:
        return Counter(seen.status for seen in self.refreshes)

    def slowest(self) -> float:
        return max(seen.seconds for seen in self.refreshes)

    def slowest_refusal(self) -> float:
        return max((seen.seconds for seen in self.refreshes if seen.status == 503), default=0.0)

    def key_set_p99(self, *, since: float = 0.0) -> float:
        """Seconds, of those that were asked for from `since` on."""
        ordered = sorted(seen.seconds for seen in self.key_sets if seen.began_at >= since)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]

    def refused_before(self, instant: float) -> int:
        return sum(seen.status == 503 and seen.began_at + seen.seconds < instant for seen in self.refreshes)

    def fetched_between(self, one: float, other: float) -> int:
        """How many key sets were asked for and had come."""
        return sum(one <= seen.began_at and seen.began_at + seen.seconds <= other for seen in self.key_sets)

    def ensure_orderly(self) -> None:
        """Tokens, or the refusal that says when to come again; and the key set always."""
        wrong = [
            seen for seen in self.refreshes if seen.status not in {200, 503} or (seen.status == 503 and not 1 <= seen.retry_after <= 3)
        ]
        assert not wrong, Counter((seen.status, seen.error) for seen in wrong)
        assert {seen.status for seen in self.key_sets} == {200}


@contextmanager
def crowd(site: Site, *, clients: int) -> Iterator[Answers]:
    """As long as this lasts. A client that was refused comes again, after a moment, with the same token and key."""
    answers, stop = Answers(), threading.Event()
    tokens = [site.token() for _ in range(min(clients, 8))]
    with ThreadPoolExecutor(clients + 1) as threads:
        running = [threads.submit(_refresh, site, tokens[number % len(tokens)], answers, stop) for number in range(clients)]
        running.append(threads.submit(_verify, site, answers, stop))
        try:
            yield answers
        finally:
            stop.set()
    for future in running:
        future.result()


def _refresh(site: Site, token: str, answers: Answers, stop: threading.Event) -> None:
    """Of one session, whose token it shares with others: who comes with the same key is given the same successor."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": "the-key-of-" + token[-20:]}
    with closing(_connection(site)) as connection:
        while not stop.is_set():
            seen = _timed(connection, "POST", "/oauth/token", urlencode(refresh_form(token)), headers)
            answers.refreshes.append(seen)
            stop.wait(REFUSED_SECONDS if seen.status == 503 else PAUSE_SECONDS)


def _verify(site: Site, answers: Answers, stop: threading.Event) -> None:
    while not stop.wait(FETCH_EVERY_SECONDS):
        # A connection of its own each time: every process is asked sooner or later.
        with closing(_connection(site)) as connection:
            answers.key_sets.append(_timed(connection, "GET", KEY_SET))


def _connection(site: Site) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", site.server.port, timeout=PATIENCE_SECONDS)


def _timed(connection: HTTPConnection, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> Seen:
    began_at = time.monotonic()
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    error = loads(text).get("error", "") if answer.status >= 400 else ""
    return Seen(began_at, time.monotonic() - began_at, answer.status, int(answer.headers.get("Retry-After", 0)), error)
