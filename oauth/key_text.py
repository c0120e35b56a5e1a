"""The schedule of the signing keys as lines for a terminal. Times are UTC."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from oauth import key_report
from oauth.key_report import Line
from oauth.key_schedule import Schedule, State
from oauth.models import KeySetUse, SigningKey

_HEAD = ("kid", "algorithm", "state", "published", "signs from", "signs until", "leaves key set", "last token expires")
NOTHING_HERE = "There is no signing key yet; manage.py bootstrap makes the first, and so does a server that starts."


def schedule_text(schedule: Schedule[SigningKey], *, now: datetime) -> str:
    """The table of the keys, and what comes next."""
    lines = key_report.lines(schedule, now=now)
    if not lines:
        return NOTHING_HERE
    return f"{table(_HEAD, [_cells(line) for line in lines])}\n\n{steps_text(schedule, now=now)}"


def steps_text(schedule: Schedule[SigningKey], *, now: datetime) -> str:
    steps = [f"  {step.at:%Y-%m-%d %H:%M:%S}  {step.kid}  {step.what}" for step in key_report.steps(schedule, now=now)]
    if settings.KEY_ROTATION_PERIOD is None:
        steps.append("  The standby signs when you say so: AUTH_SERVICE__KEY_ROTATION_DAYS is 0.")
    return "\n".join(["What happens next, by itself (UTC):", *steps])


def use_text(rows: Sequence[KeySetUse]) -> str:
    counts = [f"  from {row.hour:%H:%M}  {row.answered_200} with the keys, {row.answered_304} unchanged" for row in rows]
    head = "Answers of the key set, at least (caches answer too, and are not counted):"
    return "\n".join([head, *(counts or ["  none in the last hours"])])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows))
    return "\n".join(padded)


def _cells(line: Line) -> tuple[str, ...]:
    if line.state is State.REVOKED:
        return (line.kid, line.algorithm, line.state, _instant(line.published_at), *("-",) * 2, _instant(line.leaves_at), "-")
    instants = (line.published_at, line.signs_from, line.signs_until, line.leaves_at, line.last_token_expires_at)
    return (line.kid, line.algorithm, line.state, *map(_instant, instants))


def _instant(at: datetime | None) -> str:
    return "-" if at is None else f"{at + timedelta(seconds=30):%Y-%m-%d %H:%M}"
