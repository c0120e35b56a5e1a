"""When each signing key is published and when it signs. Pure: a function of the rows and the clock, the same in every process.

A key signs from its `signs_from` until that of the next one, so two never sign at once and there is no gap
between them. `signs_until` and `removed_at` follow from that and are stored nowhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import zip_longest
from typing import Any, Generic, Protocol, TypeVar


class State(StrEnum):
    STANDBY = "standby"  # published, and signs later
    ACTIVE = "active"  # signs
    RETIRING = "retiring"  # published until the last token that it signed has expired
    RETIRED = "retired"
    REVOKED = "revoked"


class Key(Protocol):
    """What the schedule has to know of a key (oauth.models.SigningKey)."""

    sequence: Any  # int
    published_at: Any  # datetime
    signs_from: Any  # datetime, or None: when rotation is due, or somebody asks for it
    longest_lifetime: Any  # int, seconds; no token that it signs lives longer
    revoked_at: Any  # datetime, or None


K = TypeVar("K", bound=Key)


@dataclass(frozen=True)
class Place(Generic[K]):
    """A key's place in the schedule. None: not known yet."""

    key: K
    signs_until: datetime | None
    removed_at: datetime | None

    def state(self, now: datetime) -> State:
        if self.key.revoked_at is not None:
            return State.REVOKED
        if not _has_begun(self.key, now):
            return State.STANDBY
        if self.signs_until is None or now < self.signs_until:
            return State.ACTIVE
        return State.RETIRED if self.removed_at is not None and self.removed_at <= now else State.RETIRING

    def is_published(self, now: datetime) -> bool:
        """In the key set: from before it signs until the last token that it signed has expired, unless it was revoked."""
        return self.state(now) in {State.STANDBY, State.ACTIVE, State.RETIRING}

    def last_token_expires_at(self, now: datetime) -> datetime | None:
        """The latest instant at which a token signed by it so far can be alive; None when it has signed none."""
        if not _has_begun(self.key, now) or not _ever_signs(self.key):
            return None
        return min(now, self.signs_until or now) + timedelta(seconds=self.key.longest_lifetime)


class Schedule(Generic[K]):
    """All keys, in the order in which they were made. `skew` is how far clocks may differ."""

    def __init__(self, keys: Iterable[K], *, skew: timedelta) -> None:
        rows = sorted(keys, key=lambda key: key.sequence)
        signing = sorted((key for key in rows if _ever_signs(key)), key=_order)
        until = {key.sequence: _end(key, successor) for key, successor in zip_longest(signing, signing[1:])}
        self._signing = signing
        self.places = tuple(_place(key, until.get(key.sequence), skew=skew) for key in rows)

    def published(self, now: datetime) -> list[Place[K]]:
        return [place for place in self.places if place.is_published(now)]

    def signer(self, now: datetime) -> Place[K] | None:
        """The key that signs now: of those that have begun, the one that began last.

        If that one was revoked it is the next standby, which verifiers know already; a clock that is behind changes nothing in that.
        """
        last = next((key for key in reversed(self._signing) if _has_begun(key, now)), None)
        if last is not None and last.revoked_at is None:
            return self._find(last)
        return self.standby(now)

    def standby(self, now: datetime) -> Place[K] | None:
        """The key that signs next."""
        waiting = [place for place in self.places if place.state(now) is State.STANDBY]
        return min(waiting, key=lambda place: _order(place.key), default=None)

    def due_at(self, now: datetime, *, every: timedelta | None, lead: timedelta) -> datetime | None:
        """When the standby begins to sign, as far as is known. `every` None: when somebody says so."""
        signer, standby = self.signer(now), self.standby(now)
        if signer is None or standby is None or signer is standby:
            return None
        settled: datetime | None = standby.key.signs_from
        if settled is not None or every is None or signer.key.signs_from is None:
            return settled
        due_at: datetime = max(signer.key.signs_from + every, standby.key.published_at + lead)
        return due_at

    def _find(self, key: K) -> Place[K]:
        return next(place for place in self.places if place.key is key)


def _order(key: Key) -> tuple[bool, datetime, int]:
    return key.signs_from is None, key.signs_from or key.published_at, key.sequence


def _has_begun(key: Key, now: datetime) -> bool:
    return key.signs_from is not None and key.signs_from <= now


def _ever_signs(key: Key) -> bool:
    """Has a time at which it signs, and was not revoked before."""
    return key.signs_from is not None and (key.revoked_at is None or key.signs_from < key.revoked_at)


def _end(key: Key, successor: Key | None) -> datetime | None:
    return min((end for end in (key.revoked_at, successor.signs_from if successor else None) if end is not None), default=None)


def _place(key: K, signs_until: datetime | None, *, skew: timedelta) -> Place[K]:
    if key.revoked_at is not None:
        return Place(key, signs_until, key.revoked_at)
    # SECURITY: a key that leaves sooner takes tokens along that are still good; `skew` is for a process whose clock is behind.
    removed_at = None if signs_until is None else signs_until + timedelta(seconds=key.longest_lifetime) + skew
    return Place(key, signs_until, removed_at)
