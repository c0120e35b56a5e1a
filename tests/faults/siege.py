"""The clients of a storm, at an even pace, while something else than workers is ill-treated; and what came of it, in one row."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.faults.storm import Outcome, Storm

PAUSE_SECONDS = 0.1


@dataclass
class Row:
    """What was done on purpose, how often, and what it cost. What stands under `forbidden` must be 0."""

    fault: str
    done: int = 0
    pairs: int = 0
    retries: int = 0
    refused: int = 0
    recovery: list[float] = field(default_factory=list)
    forbidden: dict[str, int] = field(default_factory=dict)

    HEADS = ("fault", "done", "pairs", "lost", "forked", "logged out", "5xx", "503", "retries", "seconds to recover")

    def cells(self) -> tuple[str, ...]:
        slowest = f"{max(self.recovery):.2f}" if self.recovery else "-"
        counts = (self.done, self.pairs, *(self.forbidden.get(name, 0) for name in self.HEADS[3:7]), self.refused, self.retries)
        return (self.fault, *map(str, counts), slowest)


def table(rows: list[Row]) -> str:
    """For the end of a run."""
    lines = [Row.HEADS, *(row.cells() for row in rows), _sum(rows).cells()]
    widths = [max(len(line[column]) for line in lines) for column in range(len(Row.HEADS))]
    text = ["  ".join(f"{cell:{'<' if not column else '>'}{widths[column]}}" for column, cell in enumerate(line)) for line in lines]
    return "\n".join(["What was broken on purpose (lost, forked, logged out and 5xx must be 0)", *text])


def _sum(rows: list[Row]) -> Row:
    forbidden = sum((Counter(row.forbidden) for row in rows), Counter())
    counts = (sum(getattr(row, name) for row in rows) for name in ("done", "pairs", "retries", "refused"))
    return Row("in all", *counts, recovery=[seconds for row in rows for seconds in row.recovery], forbidden=dict(forbidden))


class Siege(Storm):
    """All of its clients send an Idempotency-Key, and come again when they are told to."""

    @contextmanager
    def under_way(self, row: Row) -> Iterator[None]:
        """As long as this lasts the clients refresh; at its end each is asked what it has left, and `row` is filled in."""
        for app in self._apps:
            app.sign_in()
        unrecorded = self._database.unrecorded_reuse()
        stop, began_at = threading.Event(), time.monotonic()
        with ThreadPoolExecutor(len(self._apps)) as threads:
            running = [threads.submit(app.refresh_until, stop, pause=PAUSE_SECONDS) for app in self._apps]
            try:
                yield
            finally:
                stop.set()
        outcome = self._outcome
        outcome.seconds = time.monotonic() - began_at
        outcome.complaints += [repr(future.exception()) for future in running if future.exception() is not None]
        outcome.documented = self._sum(sends_keys=True)
        for app in self._apps:
            self._examine(app)
            app.close()
            app.notebook.close()
        outcome.unrecorded_reuse = self._database.unrecorded_reuse() - unrecorded
        fill_in(row, outcome)
        _ensure_nothing_forbidden(row, outcome)


def fill_in(row: Row, outcome: Outcome) -> None:
    """Of the clients without a key nobody promises that they stay signed in."""
    total = outcome.total
    row.pairs, row.retries, row.refused = row.pairs + total["pairs"], row.retries + total["retries"], row.refused + total["503"]
    found = {
        "lost": len(outcome.lost),
        "forked": outcome.forks + len(outcome.alive),
        "logged out": outcome.documented["logged out"],
        "5xx": total["other 5xx"],
        "503 without Retry-After": total["503 without Retry-After"],
        "refusals that are no logout": total["unexpected"],
        "sessions that miscount refreshes": len(outcome.miscounted),
        "access tokens that do not verify": len(outcome.unverified),
        "reuse without a record": outcome.unrecorded_reuse,
    }
    row.forbidden = {name: row.forbidden.get(name, 0) + number for name, number in found.items()}


def _ensure_nothing_forbidden(row: Row, outcome: Outcome) -> None:
    evidence = [*outcome.complaints, *outcome.lost, *outcome.alive, *outcome.miscounted, *outcome.unverified]
    assert not any(row.forbidden.values()) and not outcome.complaints, "\n".join([f"{row.forbidden}", *evidence])  # noqa: PT018 - one finding
