"""What the page of the signing keys shows (templates/admin/signing_keys.html)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from accounts import clock, components
from oauth import key_report, key_rows, key_set_use, key_timeline
from oauth.key_report import Line
from oauth.key_schedule import State

_STATES: dict[State, tuple[Any, components.Tone]] = {
    State.STANDBY: (gettext_lazy("Standby"), "info"),
    State.ACTIVE: (gettext_lazy("Active"), "ok"),
    State.RETIRING: (gettext_lazy("Retiring"), "warn"),
    State.RETIRED: (gettext_lazy("Retired"), "quiet"),
    State.REVOKED: (gettext_lazy("Revoked"), "bad"),
}
SHORT = 16


@dataclass(frozen=True)
class Shown:
    """A key as the table and the drawing name it."""

    line: Line
    pk: int
    pill: SafeString
    can_be_revoked: bool


def pill_of(state: State) -> SafeString:
    word, tone = _STATES[state]
    return components.pill(gettext(str(word)), tone)


def state_word(state: State) -> str:
    return str(_STATES[state][0])


def short(kid: str) -> str:
    return kid if len(kid) <= SHORT else f"{kid[:SHORT]}…"


def context(*, may_rotate: bool, may_revoke: bool) -> dict[str, Any]:
    """Keys, timeline, what comes next and how often the key set was fetched, as they are now."""
    schedule, now = key_rows.current(), clock.database_now()
    lines, hours = key_report.lines(schedule, now=now), key_set_use.recent(hours=24)
    drawing = key_timeline.draw(lines, now=now)
    pks = {place.key.kid: place.key.pk for place in schedule.places}
    signing = schedule.signer(now)
    live = {State.STANDBY, State.ACTIVE, State.RETIRING}
    last = [row for row in hours if row.hour > now - timedelta(hours=2)]
    return {
        "title": gettext("Signing keys"),
        "keys": [Shown(line, pks[line.kid], pill_of(line.state), line.state in live) for line in reversed(lines)],
        "drawing": drawing,
        "labels": [(row, short(row.line.kid), state_word(row.line.state)) for row in drawing.rows],
        "steps": key_report.steps(schedule, now=now),
        "rotates_by_itself": settings.KEY_ROTATION_PERIOD is not None,
        "fetched_lately": _sum(last),
        "fetched_in_a_day": _sum(hours),
        "signing": signing.key if signing is not None else None,
        "may_rotate": may_rotate,
        "may_revoke": may_revoke,
    }


def _sum(rows: list[Any]) -> int:
    return sum(row.answered_200 + row.answered_304 for row in rows)
