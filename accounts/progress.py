"""A line on a terminal that says how far a long command is, and nothing where there is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_EVERY_SECONDS = 0.1
_WIDTH = 30


class Progress:
    """`total` 0: not known."""

    def __init__(self, stream: TextIO, *, label: str, total: int = 0) -> None:
        self._stream = stream if stream.isatty() else None
        self._label = label
        self._total = total
        self._started = time.monotonic()
        self._shown_at = 0.0
        self._length = 0

    def show(self, done: int) -> None:
        now = time.monotonic()
        if self._stream is None or (now - self._shown_at < _EVERY_SECONDS and done != self._total):
            return
        self._shown_at = now
        self._write(self._text(done, seconds=now - self._started))

    def clear(self) -> None:
        """Make room for another line."""
        if self._stream is not None and self._length:
            self._write("")
            self._stream.write("\r")

    def _text(self, done: int, *, seconds: float) -> str:
        rate = f"{done / max(seconds, 0.001):,.0f} a second"
        if not self._total:
            return f"{self._label}  {done:,}  {rate}"
        filled = _WIDTH * min(done, self._total) // self._total
        return f"{self._label}  [{'#' * filled}{'.' * (_WIDTH - filled)}]  {done:,} of {self._total:,}  {rate}"

    def _write(self, text: str) -> None:
        assert self._stream is not None  # noqa: S101 - for the type checker: the callers looked
        self._stream.write(f"\r{text.ljust(self._length)}")
        self._stream.flush()
        self._length = len(text)


@contextmanager
def bars(stream: TextIO) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """One line for one thing after another: each begins with a label and a total, and is shown how far it is."""
    begun: list[Progress] = []

    def begin(label: str, total: int) -> Callable[[int], None]:
        for before in begun[-1:]:
            before.clear()
        begun.append(Progress(stream, label=f"{label:<14}", total=total))
        return begun[-1].show

    try:
        yield begin
    finally:
        for last in begun[-1:]:
            last.clear()
