"""Whatever becomes of the signing keys, every token verifies with every key set that a verifier may hold.

The steps are taken by the server's own operations on a database; processes whose clocks and polls are off, and
verifiers that keep a key set for as long as they may, are then asked about every token.
"""

import os
from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter

import pytest
from django.conf import settings as server
from django.db import transaction
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from accounts import clock
from accounts.actors import NOBODY
from oauth import key_rotation, key_rows
from oauth.key_schedule import Place, Schedule, State
from oauth.models import SigningKey

EXAMPLES = int(os.environ.get("SCHEDULE_EXAMPLES") or 10)

LAG = timedelta(seconds=1)  # until a process has read of a change
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# Any two clocks differ by less than CLOCK_SKEW, and so does what processes know.
OFF = (timedelta(seconds=60) - LAG) / 2
PROCESSES = [(off, lag) for off in (-OFF, timedelta(0), OFF) for lag in (timedelta(0), LAG)]


@dataclass(frozen=True)
class Token:
    kid: str
    minted_at: datetime
    dead_at: datetime  # for the verifier whose clock is the furthest behind


class World:
    """What was in the database when, and the tokens that were signed."""

    def __init__(self) -> None:
        self.snapshots: list[tuple[datetime, Schedule]] = []
        self.tokens: list[Token] = []
        self.signers: list[Place | None] = []

    def note(self) -> None:
        rows = list(SigningKey.objects.order_by("sequence"))
        self.snapshots.append((clock.database_now(), Schedule(rows, skew=server.CLOCK_SKEW)))

    def known_at(self, instant: datetime) -> Schedule | None:
        index = bisect_right(self.snapshots, instant, key=itemgetter(0))
        return self.snapshots[index - 1][1] if index else None

    def mint(self, lifetime: timedelta) -> None:
        """By every process."""
        now = clock.database_now()
        for off, lag in PROCESSES:
            if (schedule := self.known_at(now - lag)) is None:  # a process that has read nothing yet
                continue
            place = schedule.signer(now + off)
            self.signers.append(place)
            if lifetime > timedelta(seconds=place.key.longest_lifetime):  # as the ring does before it signs
                key_rows.lengthen(place.key.kid, lifetime=lifetime)
            self.tokens.append(Token(place.key.kid, now, now + off + lifetime + OFF))
        self.note()

    def published(self, instant: datetime) -> list[set[str]]:
        """The key sets that a verifier may be given at an instant, by any process."""
        known = [(schedule, instant - lag + off) for off, lag in PROCESSES if (schedule := self.known_at(instant - lag))]
        # Without a key there is no set: the answer is 503, and nobody keeps that.
        return [kids for schedule, seen_at in known if (kids := {place.key.kid for place in schedule.published(seen_at)})]

    def instants(self) -> list[datetime]:
        """Those at which a key set may change, or a token die, and just before and after."""
        changes = {at for at, _ in self.snapshots} | {token.dead_at for token in self.tokens}
        changes |= {place.removed_at for place in self.snapshots[-1][1].places if place.removed_at is not None}
        around = (timedelta(0), LAG, -OFF, OFF, LAG + OFF, LAG - OFF)
        return sorted({at + off + tick for at in changes for off in around for tick in (timedelta(0), timedelta(milliseconds=-1))})

    def needed(self, instant: datetime) -> set[str]:
        """The kids of tokens that somebody may verify with the set of this instant: now, or until it is too old."""
        return {token.kid for token in self.tokens if token.minted_at - server.JWKS_MAX_AGE <= instant < token.dead_at}


@contextmanager
def a_database_of_its_own():
    offset = clock.offset
    try:
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
    finally:
        clock.offset = offset


@pytest.fixture
def cheap_keys(settings, db):
    settings.KEY_ALGORITHM = "EdDSA"
    settings.KEY_PUBLISH_LEAD = 2 * HOUR
    settings.KEY_ROTATION_PERIOD = 3 * DAY
    settings.CLOCK_SKEW = timedelta(seconds=60)


def signing():
    return key_rows.current().signer(clock.database_now()).key.kid


def rotate(world, lifetime):
    key_rotation.rotate(signer=signing(), actor=NOBODY, reason="by hand")


def revoke_what_signs(world, lifetime):
    """Not before verifiers can know the standby: of two keys that leak within the lead nothing can save the second's successor."""
    standby = key_rows.current().standby(clock.database_now())
    assume(standby is not None and standby.key.published_at + server.KEY_PUBLISH_LEAD <= clock.database_now())
    key_rotation.revoke(signing(), actor=NOBODY, reason="leaked")


def revoke_the_standby(world, lifetime):
    standby = key_rows.current().standby(clock.database_now())
    assume(standby is not None)
    key_rotation.revoke(standby.key.kid, actor=NOBODY, reason="leaked")


def revoke_a_retiring_one(world, lifetime):
    now = clock.database_now()
    retiring = [place.key.kid for place in key_rows.current().places if place.state(now) is State.RETIRING]
    assume(retiring)
    key_rotation.revoke(retiring[0], actor=NOBODY, reason="leaked")


def sign_only(world, lifetime):
    world.mint(lifetime)


STEPS = st.tuples(
    st.sampled_from([rotate, rotate, revoke_what_signs, revoke_the_standby, revoke_a_retiring_one, sign_only, sign_only]),
    st.sampled_from([1, 2, 3, 30, 59, 900, 3600, 7199, 7200, 7201, 40000, 86400, 260000]).map(lambda number: timedelta(seconds=number)),
    st.sampled_from([60, 900, 3600, 7300, 86400]).map(lambda number: timedelta(seconds=number)),
)


def live(steps):
    world = World()
    key_rotation.maintain()
    world.note()
    world.mint(timedelta(minutes=15))
    for step, wait, lifetime in steps:
        _wait(world, wait, lifetime)
        step(world, lifetime)
        world.note()
        for tick in (timedelta(0), LAG, key_rotation.READ_BY_ALL, server.CLOCK_SKEW, LAG):
            clock.offset += tick
            key_rotation.maintain()
            world.note()
            world.mint(lifetime)
    _wait(world, timedelta(days=2), timedelta(minutes=1))  # everything ends
    return world


def _wait(world, duration, lifetime):
    """Somebody signs meanwhile, and what is due happens when it is due."""
    until = clock.database_now() + duration
    while (now := clock.database_now()) < until:
        due_at = key_rows.current().due_at(now, every=server.KEY_ROTATION_PERIOD, lead=server.KEY_PUBLISH_LEAD)
        target = min(until, due_at) if due_at is not None and due_at > now else min(until, now + DAY)
        clock.offset += max(target - now, timedelta(milliseconds=10))
        key_rotation.maintain()
        world.note()
        world.mint(lifetime)


@given(steps=st.lists(STEPS, min_size=1, max_size=6))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.checklist(90, 91, 92)
def test_every_token_verifies_with_every_key_set_that_a_verifier_may_hold(cheap_keys, steps):
    with a_database_of_its_own():
        world = live(steps)

        revoked = set(SigningKey.objects.exclude(revoked_at=None).values_list("kid", flat=True))
        for instant in world.instants():
            needed = world.needed(instant) - revoked
            for published in world.published(instant):
                assert needed <= published, (instant, needed - published)


@given(steps=st.lists(STEPS, min_size=1, max_size=6))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.checklist(97)
def test_at_every_instant_one_key_signs_and_processes_with_one_clock_agree_on_it(cheap_keys, steps):
    with a_database_of_its_own():
        world = live(steps)

        assert None not in world.signers
        schedule = world.snapshots[-1][1]
        for at, _ in world.snapshots:
            active = [place for place in schedule.places if place.key.published_at <= at and place.state(at) is State.ACTIVE]
            assert len(active) <= 1
        for at, known in world.snapshots:
            assert known.standby(at) is not known.signer(at), "a standby is always published"


@given(steps=st.lists(STEPS, min_size=1, max_size=6))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.checklist(96)
def test_of_a_key_that_is_out_of_use_no_private_key_is_left(cheap_keys, steps):
    with a_database_of_its_own():
        live(steps)

        now = clock.database_now()
        for place in key_rows.current().places:
            is_over = place.state(now) in {State.RETIRED, State.REVOKED}
            assert bool(place.key.private_key) is not is_over


# --- The schedule by itself ---------------------------------------------------------------------------

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def key(sequence, *, signs=None, revoked=None, lifetime=900):
    def at(hours):
        return None if hours is None else NOON + timedelta(hours=hours)

    return SigningKey(
        sequence=sequence,
        kid=f"key-{sequence}",
        published_at=at(-100),
        signs_from=at(signs),
        revoked_at=at(revoked),
        longest_lifetime=lifetime,
    )


def states(*rows, now=NOON):
    return [place.state(now).value for place in Schedule(rows, skew=timedelta(seconds=60)).places]


def test_a_key_signs_until_the_next_one_does():
    rows = [key(1, signs=-50), key(2, signs=-2), key(3, signs=-0.1), key(4)]

    schedule = Schedule(rows, skew=timedelta(seconds=60))

    assert states(*rows) == ["retired", "retiring", "active", "standby"]
    assert schedule.places[1].signs_until == rows[2].signs_from
    assert schedule.places[1].removed_at == rows[2].signs_from + timedelta(seconds=960)
    assert schedule.signer(NOON).key is rows[2]
    assert schedule.standby(NOON).key is rows[3]


def test_when_the_key_that_signs_is_revoked_the_standby_signs_at_once_whatever_the_clock_says():
    rows = [key(1, signs=-50), key(2, signs=-2, revoked=-0.001), key(3, signs=0.01), key(4)]

    schedule = Schedule(rows, skew=timedelta(seconds=60))

    assert schedule.signer(NOON).key is rows[2], "a process whose clock is half a minute behind"
    assert schedule.signer(NOON + HOUR).key is rows[2]


def test_a_standby_that_was_revoked_shortens_nobodys_time():
    rows = [key(1, signs=-50), key(2, signs=5, revoked=-1), key(3)]

    schedule = Schedule(rows, skew=timedelta(seconds=60))

    assert schedule.signer(NOON + 10 * HOUR).key is rows[0]
    assert schedule.places[0].signs_until is None


def test_a_key_that_was_revoked_after_it_signed_still_ends_the_time_of_the_one_before():
    rows = [key(1, signs=-50), key(2, signs=-2, revoked=-1), key(3, signs=-1)]

    schedule = Schedule(rows, skew=timedelta(seconds=60))

    assert schedule.places[0].signs_until == rows[1].signs_from
    assert states(*rows) == ["retired", "revoked", "active"]


def test_an_imported_key_signs_before_a_standby_that_is_older():
    rows = [key(1, signs=-50), key(2), key(3, signs=-1)]

    schedule = Schedule(rows, skew=timedelta(seconds=60))

    assert schedule.signer(NOON).key is rows[2]
    assert schedule.standby(NOON).key is rows[1]


def test_the_last_token_of_a_key_is_known():
    rows = [key(1, signs=-2, lifetime=7200), key(2, signs=-1), key(3)]

    schedule = Schedule(rows, skew=timedelta(seconds=60))

    retiring, active, standby = (place.last_token_expires_at(NOON) for place in schedule.places)
    assert retiring == NOON + HOUR
    assert active == NOON + timedelta(minutes=15)
    assert standby is None
