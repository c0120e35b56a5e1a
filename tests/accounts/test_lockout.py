"""Attempts are counted before a password is hashed; the fifth failure of a lane locks it, and only it."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection, transaction

from accounts import clock, lockout
from accounts.actors import Actor
from accounts.lockout import Busy, Locked
from accounts.models import AuditEvent, LoginCounter, User
from accounts.pruning import Pruning
from tests.threads import at_once

HERE, THERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture(autouse=True)
def _database(db):
    pass


def fail_once(name="alice", *, user=None, address=HERE):
    return lockout.fail(lockout.reserve(name, user=user, address=address), record={"address": address})


def fail_times(count, **kwargs):
    return [fail_once(**kwargs) for _ in range(count)][-1]


def succeed(*, user=None, address=HERE):
    reservation = lockout.reserve("alice", user=user, address=address)
    lockout.forgive(reservation)


def is_locked(*, address=HERE):
    try:
        lockout.release(lockout.reserve("alice", user=None, address=address))
    except Locked:
        return True
    return False


def lane(source=HERE, *, name="alice", user=None):
    digest = lockout.digest_of(name) if user is None else lockout.digest_of_user(user.pk)
    return LoginCounter.objects.get(digest=digest, source=source)


@pytest.mark.checklist(36)
def test_the_fifth_failure_locks_the_lane(alice):
    fail_times(4, user=alice)
    lockout.release(lockout.reserve("alice", user=alice, address=HERE))

    fail_once(user=alice)

    with pytest.raises(Locked) as locked:
        lockout.reserve("alice", user=alice, address=HERE)
    assert 890 <= locked.value.seconds <= 900
    assert locked.value.until == lane(user=alice).locked_until


@pytest.mark.checklist(37)
def test_the_lock_ends_by_itself_to_the_second(later):
    fail_times(5)

    later(seconds=899)
    with pytest.raises(Locked) as locked:
        lockout.reserve("alice", user=None, address=HERE)
    assert locked.value.seconds == 1

    later(seconds=2)
    lockout.reserve("alice", user=None, address=HERE)


@pytest.mark.checklist(39)
def test_attempts_while_locked_change_nothing(later):
    fail_times(5)
    before = LoginCounter.objects.order_by("pk").values()
    before = list(before)

    later(seconds=300)
    for _ in range(20):
        with pytest.raises(Locked):
            lockout.reserve("alice", user=None, address=HERE)

    assert list(LoginCounter.objects.order_by("pk").values()) == before


def test_after_a_lock_the_count_starts_at_nothing(later):
    fail_times(5)
    later(seconds=901)

    fail_times(4)
    assert not is_locked()
    fail_once()
    assert is_locked()


def test_failures_outside_the_window_are_forgotten(later):
    fail_times(4)
    later(seconds=901)

    fail_times(4)

    assert not is_locked()


@pytest.mark.checklist(52)
def test_a_success_starts_the_lane_anew():
    fail_times(4)
    succeed(user=None, address=HERE)

    fail_times(4)

    assert not is_locked()
    assert lane().last_success_at is not None


def test_attempts_that_run_count_with_the_failures():
    fail_times(3)
    lockout.reserve("alice", user=None, address=HERE)
    lockout.reserve("alice", user=None, address=HERE)

    with pytest.raises(Busy):
        lockout.reserve("alice", user=None, address=HERE)
    assert lane().locked_until is None


def test_an_attempt_that_nobody_ended_is_given_back_after_ten_seconds(later):
    for _ in range(5):
        lockout.reserve("alice", user=None, address=HERE)
    with pytest.raises(Busy):
        lockout.reserve("alice", user=None, address=HERE)

    later(seconds=11)

    lockout.reserve("alice", user=None, address=HERE)
    assert len(lane().in_flight) == 1


def test_a_released_attempt_counts_as_nothing():
    for _ in range(10):
        lockout.release(lockout.reserve("alice", user=None, address=HERE))

    assert lane().failures == 0
    assert lane().in_flight == lane("*").in_flight == {}


@pytest.mark.checklist(42)
def test_user_name_and_address_of_one_account_are_one_lane(alice):
    for name in ("alice", "alice@example.com", "alice", "alice@example.com", "alice"):
        fail_once(name, user=alice)

    with pytest.raises(Locked):
        lockout.reserve("alice@example.com", user=alice, address=HERE)


@pytest.mark.checklist(38)
def test_a_name_that_is_nobodys_is_locked_like_any_other():
    fail_times(5, name="nobody")

    with pytest.raises(Locked):
        lockout.reserve("nobody", user=None, address=HERE)


@pytest.mark.checklist(50)
def test_a_lock_from_one_place_leaves_the_owner_elsewhere_alone(alice):
    succeed(user=alice, address=THERE)

    for last in range(1, 60):
        for _ in range(5):
            try:
                fail_once(user=alice, address=f"203.0.113.{last}")
            except Locked:
                break

    with pytest.raises(Locked):
        lockout.reserve("alice", user=alice, address="192.0.2.250")
    succeed(user=alice, address=THERE)


def test_fifty_failures_over_unknown_sources_lock_them_all():
    failures = 0
    for last in range(1, 100):
        try:
            fail_once(address=f"203.0.113.{last}")
        except Locked:
            break
        failures += 1

    assert failures == 50
    assert lane("*").locked_until is not None


def test_after_the_wide_lock_one_more_failure_locks_again(later):
    for last in range(50):
        fail_once(address=f"203.0.113.{last}")
    later(seconds=901)

    lockout.reserve("alice", user=None, address="192.0.2.9")
    with pytest.raises(Busy):
        lockout.reserve("alice", user=None, address="192.0.2.10")
    later(seconds=11)
    fail_once(address="192.0.2.11")

    with pytest.raises(Locked):
        lockout.reserve("alice", user=None, address="192.0.2.12")


def test_a_known_source_loses_its_lane_after_a_hundred_failures_in_a_month(alice, later, settings):
    settings.BRUTE_FORCE_THRESHOLD = 1000
    succeed(user=alice, address=HERE)

    assert all(EVERYWHERE not in lockout_lanes(alice) for _ in range(100))
    assert EVERYWHERE in lockout_lanes(alice)

    later(days=31)
    succeed(user=alice, address=HERE)
    assert EVERYWHERE not in lockout_lanes(alice)


EVERYWHERE = "*"


def lockout_lanes(user):
    reservation = lockout.reserve("alice", user=user, address=HERE)
    lockout.fail(reservation, record={})
    return reservation.lanes


def test_a_source_is_known_for_thirty_days(alice, later):
    succeed(user=alice, address=HERE)

    later(days=29)
    assert lockout.reserve("alice", user=alice, address=HERE).lanes == (HERE,)
    later(days=2)
    assert set(lockout.reserve("alice", user=alice, address=HERE).lanes) == {HERE, EVERYWHERE}


@pytest.mark.checklist(46)
def test_the_addresses_of_one_ipv6_network_are_one_source():
    for last in range(5):
        fail_once(address=f"2001:db8:1:2::{last:x}")

    with pytest.raises(Locked):
        lockout.reserve("alice", user=None, address="2001:db8:1:2:ffff::1")
    lockout.reserve("alice", user=None, address="2001:db8:1:3::1")


@pytest.mark.checklist(54)
def test_a_lock_is_recorded_once_and_names_nothing_that_was_typed(alice):
    fail_times(5, user=alice)
    fail_times(5, name="hunter2-typed-by-mistake")

    known, unknown = AuditEvent.objects.filter(event="user:lockout:started").order_by("pk")
    assert known.target == str(alice.pk)
    assert known.address == HERE
    assert known.detail["lane"] == "source"
    assert unknown.target == ""
    assert "hunter2" not in str(unknown.detail)
    assert unknown.detail["name_digest"] == lockout.digest_of("hunter2-typed-by-mistake").hex()[:16]


def test_the_audit_is_told_of_failures_once_a_minute_with_their_number(later):
    assert [fail_once() for _ in range(3)] == [1, 0, 0]

    later(seconds=61)

    assert fail_once() == 3
    assert fail_once() == 0  # the fifth, which locks: the lock's event tells of it
    assert AuditEvent.objects.get(event="user:lockout:started").detail["count"] == 1


def test_staff_lift_every_lock_of_an_account(alice, bob):
    fail_times(5, user=alice)
    fail_times(5, user=alice, address=THERE)

    staff = Actor(actor_id=bob.pk, address="192.0.2.200", user_agent="Firefox")
    lifted = lockout.unlock(alice.pk, actor=staff, reason="called support")

    assert lifted == 2
    lockout.reserve("alice", user=alice, address=HERE)
    event = AuditEvent.objects.get(event="user:lockout:lifted")
    assert (event.actor_id, event.target, event.detail["reason"]) == (bob.pk, str(alice.pk), "called support")
    assert lockout.unlock(alice.pk, actor=staff, reason="again") == 0


def test_a_lane_that_was_locked_meanwhile_is_not_forgiven():
    reservation = lockout.reserve("alice", user=None, address=HERE)
    LoginCounter.objects.filter(source=HERE).update(locked_until=clock.now() + timedelta(seconds=60))

    with pytest.raises(Locked):
        lockout.forgive(reservation)


def test_a_lane_that_is_gone_meanwhile_keeps_nobody_out():
    reservation = lockout.reserve("alice", user=None, address=HERE)
    LoginCounter.objects.all().delete()

    lockout.forgive(reservation)

    assert not LoginCounter.objects.exists()


def test_who_types_the_id_of_a_user_counts_as_nobody(alice):
    fail_times(5, name=str(alice.pk))

    with pytest.raises(Locked):
        lockout.reserve(str(alice.pk), user=None, address=HERE)
    lockout.reserve("alice", user=alice, address=HERE)
    assert lane(user=alice).user_id == alice.pk
    assert lane(name=str(alice.pk)).user_id is None


@pytest.mark.django_db(transaction=True)
def test_attempts_and_the_lifting_of_their_locks_do_not_wait_for_each_other(alice):
    def attempt():
        for _ in range(100):
            with suppress(Locked, Busy):
                fail_once(user=alice)

    def lift():
        for _ in range(100):
            lockout.unlock(alice.pk, actor=Actor(actor_id=None, address=None, user_agent=""), reason="a race")

    at_once(attempt, attempt, lift, lift)

    lockout.unlock(alice.pk, actor=Actor(actor_id=None, address=None, user_agent=""), reason="the last")
    assert set(LoginCounter.objects.values_list("failures", "locked_until")) == {(0, None)}


def test_the_counter_tells_nothing_of_what_was_typed():
    fail_once("a-password-in-the-wrong-field")

    row = str(list(LoginCounter.objects.values()))
    assert "a-password" not in row
    assert lane(name="a-password-in-the-wrong-field").user_id is None


@pytest.mark.parametrize("address", [None, HERE, "2001:db8::1"])
def test_a_reservation_takes_one_statement_where_the_source_is_known_and_two_elsewhere(count_statements, address):
    with count_statements() as from_unknown:
        lockout.release(lockout.reserve("alice", user=None, address=address))
    succeed(address=address)
    with count_statements() as from_known:
        lockout.release(lockout.reserve("alice", user=None, address=address))

    assert (len(from_unknown), len(from_known)) == (2 + 2, 1 + 1)


def test_a_refusal_takes_the_same_statements_whoever_it_is(alice, bob, count_statements):
    """Or its time tells of a name that it is somebody's, who has signed in before."""
    User.objects.filter(pk=alice.pk).update(last_sign_in_at=clock.now())
    alice.refresh_from_db()

    def refuse(**who):
        with count_statements() as of_a_failure:
            fail_once(**who)
        fail_times(4, **who)
        with count_statements() as of_a_lock, pytest.raises(Locked):
            lockout.reserve("alice", address=HERE, **who)
        return len(of_a_failure), len(of_a_lock)

    assert refuse(user=alice) == refuse(user=bob) == refuse(user=None)


def test_lanes_that_decide_nothing_any_more_are_removed(later, alice):
    fail_once("nobody")
    succeed(user=alice)
    assert lockout.prune() == 0

    later(days=1, minutes=6)  # five minutes are not told apart
    assert lockout.prune() == 3  # nobody's two lanes, and alice's wide one
    later(days=30)
    assert lockout.prune() == 1
    assert not LoginCounter.objects.exists()


def test_a_failure_prunes_once_a_minute(later, monkeypatch):
    fail_once("nobody")
    later(days=2)

    monkeypatch.setattr(lockout, "pruning", Pruning(every_seconds=60))
    fail_once("alice")

    assert not LoginCounter.objects.filter(digest=lockout.digest_of("nobody")).exists()


def test_a_failure_that_cannot_prune_counts_all_the_same(monkeypatch):
    monkeypatch.setattr(lockout, "pruning", Pruning(every_seconds=60))
    monkeypatch.setattr(lockout, "PRUNE_BATCH", "no number")

    fail_once("alice")

    assert lane().failures == 1


@pytest.mark.django_db(transaction=True)
def test_a_lane_that_is_held_is_not_removed(later):
    def prune_without_waiting():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
        return lockout.prune()

    fail_once("nobody")
    later(days=2)

    with transaction.atomic():
        lockout.reserve("nobody", user=None, address=HERE)
        removed = 0 if connection.vendor == "sqlite" else at_once(prune_without_waiting)[0]

    assert removed == 0
    assert lane(name="nobody").in_flight


def test_a_process_whose_clock_is_ahead_lifts_no_lock(monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no clock of its own: the process's stands in")
    fail_times(5)
    ahead = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: ahead)

    with pytest.raises(Locked) as locked:
        lockout.reserve("alice", user=None, address=HERE)

    assert 880 <= locked.value.seconds <= 900
