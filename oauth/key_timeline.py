"""The schedule of the signing keys as a drawing: what each does when, in percent of the width (templates/admin/key_timeline.html). Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from oauth.key_report import Line

# A key that left the key set is drawn for so long.
REMEMBERED = timedelta(days=30)
# What has no end yet is drawn so far beyond now, at least.
OUTLOOK = timedelta(days=30)
_ROW, _TOP, _NARROWEST = 46, 26, 0.8


@dataclass(frozen=True)
class Bar:
    """`phase` is published, signing or retiring; x and width are texts with their unit, in no reader's language."""

    phase: str
    x: str
    width: str
    y: int


@dataclass(frozen=True)
class Row:
    line: Line
    y: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Drawing:
    rows: tuple[Row, ...]
    begins_at: datetime
    ends_at: datetime
    now_x: str
    now_anchor: str
    height: int

    @property
    def axis_y(self) -> int:
        return self.height - 6


def draw(lines: Iterable[Line], *, now: datetime) -> Drawing:
    """The keys that are in the key set, were until lately, or will be; the newest last."""
    shown = [line for line in lines if line.leaves_at is None or line.leaves_at > now - REMEMBERED]
    begins_at, ends_at = _span(shown, now)
    scale = _Scale(begins_at, ends_at)
    rows = tuple(_row(line, number, scale) for number, line in enumerate(shown))
    here = scale.at(now)
    anchor = "start" if here < 5 else "end" if here > 95 else "middle"
    return Drawing(rows, begins_at, ends_at, _percent(here), anchor, _TOP + _ROW * len(rows) + 22)


@dataclass(frozen=True)
class _Scale:
    begins_at: datetime
    ends_at: datetime

    def at(self, instant: datetime) -> float:
        """In percent from the left, within the drawing."""
        return min(max((instant - self.begins_at) / (self.ends_at - self.begins_at) * 100, 0.0), 100.0)


def _span(lines: Sequence[Line], now: datetime) -> tuple[datetime, datetime]:
    begins_at = min((line.published_at for line in lines), default=now)
    known = [at for line in lines for at in (line.signs_from, line.signs_until, line.leaves_at) if at is not None]
    ends_at = max([now + OUTLOOK, *known])
    margin = (ends_at - begins_at) * 0.04
    return begins_at, ends_at + margin


def _row(line: Line, number: int, scale: _Scale) -> Row:
    y = _TOP + _ROW * number
    return Row(line, y + 14, tuple(_bars(line, y + 22, scale)))


def _bars(line: Line, y: int, scale: _Scale) -> Iterator[Bar]:
    horizon = line.leaves_at or scale.ends_at
    signs_from = min(line.signs_from or horizon, horizon)
    signs_until = min(line.signs_until or horizon, horizon)
    for phase, begin, end in (
        ("published", line.published_at, signs_from),
        ("signing", signs_from, max(signs_from, signs_until)),
        ("retiring", max(signs_from, signs_until), horizon),
    ):
        if end > begin and end > scale.begins_at:
            x = min(scale.at(begin), 100 - _NARROWEST)
            yield Bar(phase, _percent(x), _percent(max(scale.at(end) - x, _NARROWEST)), y)


def _percent(number: float) -> str:
    return f"{number:.2f}%"
