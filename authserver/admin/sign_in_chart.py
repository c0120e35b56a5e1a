"""Two weeks of sign-ins as a drawing: two bars a day, in percent of the width (templates/admin/sign_in_chart.html). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.audit_tally import Counts

_TOP, _PLOT, _BOTTOM = 22, 120, 24
_ROUND = (1, 2, 5)


@dataclass(frozen=True)
class Bar:
    """`kind` is good or bad; x and width are texts with their unit, in no reader's language."""

    kind: str
    x: str
    width: str
    y: int
    height: int


@dataclass(frozen=True)
class Mark:
    """A day's name under the axis."""

    x: str
    anchor: str
    day: datetime


@dataclass(frozen=True)
class Drawing:
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    top: int
    top_y: int
    axis_y: int
    height: int


def draw(days: Sequence[tuple[datetime, Counts]]) -> Drawing:
    """Each bar stands on the axis; the highest mark is a round number."""
    top = _round_up(max((max(counts.sign_ins, counts.failures) for _, counts in days), default=0))
    bars = [bar for number, (_, counts) in enumerate(days) for bar in _bars(number, counts, top=top, of=len(days))]
    marks = [_mark(number, day, of=len(days)) for number, (day, _) in enumerate(days) if number in {0, len(days) // 2, len(days) - 1}]
    return Drawing(tuple(bars), tuple(marks), top, _TOP, _TOP + _PLOT, _TOP + _PLOT + _BOTTOM)


def _bars(number: int, counts: Counts, *, top: int, of: int) -> list[Bar]:
    share = 100 / of
    drawn = []
    for place, (kind, value) in enumerate((("good", counts.sign_ins), ("bad", counts.failures))):
        height = max(2, round(_PLOT * value / top)) if value else 0
        x = number * share + share * (0.14 + 0.38 * place)
        drawn.append(Bar(kind, _percent(x), _percent(share * 0.34), _TOP + _PLOT - height, height))
    return drawn


def _mark(number: int, day: datetime, *, of: int) -> Mark:
    if number == 0:
        return Mark("0%", "start", day)
    if number == of - 1:
        return Mark("100%", "end", day)
    return Mark(_percent((number + 0.5) * 100 / of), "middle", day)


def _round_up(value: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 and so on, so that half of it is easily read."""
    power = 1
    while True:
        for step in _ROUND:
            if step * power >= value:
                return step * power
        power *= 10


def _percent(value: float) -> str:
    return f"{value:.2f}%"
