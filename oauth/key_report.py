"""The signing keys in words and instants, for people: the command's table and the admin's page."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from oauth import key_rotation
from oauth.key_schedule import Place, Schedule, State
from oauth.models import SigningKey


@dataclass(frozen=True)
class Line:
    """One key. None where an instant is not known yet, or there is none."""

    kid: str
    algorithm: str
    state: State
    published_at: datetime
    signs_from: datetime | None
    signs_until: datetime | None
    leaves_at: datetime | None
    last_token_expires_at: datetime | None
    revoked_reason: str


@dataclass(frozen=True)
class Step:
    """Something that happens by itself."""

    at: datetime
    kid: str
    what: str


def lines(schedule: Schedule[SigningKey], *, now: datetime) -> list[Line]:
    """Every key, in the order in which they were made."""
    due_at, standby = _due_at(schedule, now), schedule.standby(now)
    ends_at = due_at if due_at is not None and due_at > now else None
    signing = schedule.signer(now)
    return [
        _line(place, now, begins_at=due_at if place is standby else None, ends_at=ends_at if place is signing else None)
        for place in schedule.places
    ]


def steps(schedule: Schedule[SigningKey], *, now: datetime) -> list[Step]:
    """What will happen if nobody does anything, as far as it is known, in the order of time."""
    return sorted(_steps(schedule, now), key=lambda step: step.at)


def _steps(schedule: Schedule[SigningKey], now: datetime) -> Iterator[Step]:
    for line in lines(schedule, now=now):
        if line.state is State.STANDBY and line.signs_from is not None:
            yield Step(max(line.signs_from, now), line.kid, _("signs; a new standby is published"))
        if line.leaves_at is not None and line.leaves_at > now:
            yield Step(line.leaves_at, line.kid, _("leaves the key set: its last token has expired; its private key is erased"))


def _line(place: Place[SigningKey], now: datetime, *, begins_at: datetime | None, ends_at: datetime | None) -> Line:
    key = place.key
    signs_until = place.signs_until or ends_at
    leaves_at = place.removed_at
    if leaves_at is None and signs_until is not None:
        leaves_at = signs_until + timedelta(seconds=key.longest_lifetime) + settings.CLOCK_SKEW
    return Line(
        kid=key.kid,
        algorithm=key.algorithm,
        state=place.state(now),
        published_at=key.published_at,
        signs_from=key.signs_from or begins_at,
        signs_until=signs_until,
        leaves_at=leaves_at,
        last_token_expires_at=place.last_token_expires_at(now),
        revoked_reason=key.revoked_reason,
    )


def _due_at(schedule: Schedule[SigningKey], now: datetime) -> datetime | None:
    """When the standby will sign: not sooner than it would if its rotation were begun now."""
    standby = schedule.standby(now)
    due_at = schedule.due_at(now, every=settings.KEY_ROTATION_PERIOD, lead=settings.KEY_PUBLISH_LEAD)
    if standby is None or due_at is None or standby.key.signs_from is not None:
        return due_at
    return max(due_at, key_rotation.earliest(standby, now=now))
