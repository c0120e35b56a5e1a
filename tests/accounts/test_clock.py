"""What time it is, for the process and inside a statement (accounts/clock.py)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from accounts import clock
from accounts.clock import Instant, SteadyInstant
from accounts.models import User

MINUTE = timedelta(minutes=1)


def stamp(user, instant):
    """What the database wrote when it was told to write this instant."""
    User.objects.filter(pk=user.pk).update(last_sign_in_at=instant)
    return User.objects.get(pk=user.pk).last_sign_in_at


def stamp_by_sql(user, **duration):
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE accounts_user SET last_sign_in_at = {clock.instant_sql('at')} WHERE username_canonical = %(name)s",
            {"at": clock.instant_parameter(**duration), "name": user.username_canonical},
        )
    return User.objects.get(pk=user.pk).last_sign_in_at


def is_about(instant, expected):
    return abs(instant - expected) < MINUTE


def test_the_clock_of_the_process_is_in_utc():
    assert clock.now().tzinfo is UTC
    assert is_about(clock.now(), datetime.now(UTC))


@pytest.mark.django_db
@pytest.mark.parametrize("write", [lambda user: stamp(user, Instant()), stamp_by_sql], ids=["ORM", "SQL"])
def test_a_statement_stamps_the_instant_it_runs(alice, write):
    assert is_about(write(alice), datetime.now(UTC))


@pytest.mark.django_db
@pytest.mark.parametrize("plus", [timedelta(days=30), timedelta(seconds=-90), timedelta(days=-400)])
def test_a_statement_stamps_an_instant_some_way_off(alice, plus):
    assert is_about(stamp(alice, Instant(plus=plus)), datetime.now(UTC) + plus)
    assert is_about(stamp_by_sql(alice, plus=plus), datetime.now(UTC) + plus)


@pytest.mark.django_db
def test_the_offset_moves_both_clocks(alice, later):
    later(days=3)

    moved = datetime.now(UTC) + timedelta(days=3)
    assert is_about(clock.now(), moved)
    assert is_about(stamp(alice, Instant()), moved)
    assert is_about(stamp_by_sql(alice), moved)
    assert is_about(stamp(alice, Instant(plus=timedelta(hours=2))), moved + timedelta(hours=2))


@pytest.mark.django_db
def test_a_statement_compares_what_it_stamped(alice, later):
    stamp(alice, Instant(plus=timedelta(minutes=10)))
    ended = User.objects.filter(last_sign_in_at__lt=Instant())
    assert not ended.exists()

    later(minutes=11)

    assert ended.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("write", [lambda user: stamp(user, Instant()), stamp_by_sql], ids=["ORM", "SQL"])
def test_time_goes_on_inside_a_transaction(alice, write):
    stamps = [write(alice) for _ in range(20)]

    assert stamps == sorted(stamps)
    assert stamps[0] < stamps[-1]


@pytest.mark.django_db
def test_both_ways_to_stamp_agree_to_the_second(alice):
    by_orm, by_sql = stamp(alice, Instant()), stamp_by_sql(alice)

    assert timedelta(0) <= by_sql - by_orm < timedelta(seconds=30)


@pytest.mark.django_db
@pytest.mark.parametrize("plus", [timedelta(0), timedelta(days=-400)])
def test_a_steady_instant_is_the_same_and_no_volatile_function(alice, plus):
    assert is_about(stamp(alice, SteadyInstant(plus=plus)), datetime.now(UTC) + plus)
    # An index is not searched for what may change from row to row.
    assert "clock_timestamp" not in str(User.objects.filter(created_at__lt=SteadyInstant(plus=plus)).query)
    assert "clock_timestamp" not in clock.steady_sql("at")
