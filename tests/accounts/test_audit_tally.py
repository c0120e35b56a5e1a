"""Sign-ins by the hour: right, once, a few hours at a time."""

from datetime import timedelta

import pytest

from accounts import audit_tally, clock
from accounts.audit_tally import FAILED, HOUR, LOCKED, SUCCEEDED, Counts
from accounts.models import AuditEvent, AuditTally
from tests.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def hour():
    return clock.now().replace(minute=0, second=0, microsecond=0) - 5 * HOUR


def happen(event, at, *, times=1, **detail):
    AuditEvent.objects.bulk_create([AuditEvent(at=at, event=event, detail=detail) for _ in range(times)])


def test_an_hour_that_is_over_is_counted_once_and_kept(hour):
    happen(SUCCEEDED, hour, times=3)
    happen(SUCCEEDED, hour + HOUR - timedelta(microseconds=1))
    happen(SUCCEEDED, hour + HOUR)
    happen(FAILED, hour, times=2)
    happen(FAILED, hour, count=5)
    happen(LOCKED, hour, count=4)
    happen("user:profile:changed", hour)

    tally = audit_tally.read(most=10)

    assert tally.hours[hour] == Counts(4, 11)
    happen(SUCCEEDED, hour)
    assert audit_tally.read(most=10).hours[hour] == Counts(4, 11)


def test_the_running_hour_is_counted_as_it_stands(hour):
    happen(SUCCEEDED, clock.now())
    assert audit_tally.read().last_day() == Counts(1, 0)

    happen(SUCCEEDED, clock.now())
    assert audit_tally.read().last_day() == Counts(2, 0)
    assert not AuditTally.objects.exists()


def test_an_hour_is_left_open_while_somebody_may_still_write_into_it(monkeypatch):
    now = clock.now().replace(minute=9, second=59)
    monkeypatch.setattr(audit_tally.clock, "database_now", lambda: now)
    happen(SUCCEEDED, now - HOUR)
    audit_tally.read(most=100)
    assert not AuditTally.objects.filter(hour__gte=now - HOUR - timedelta(minutes=10)).exists()

    monkeypatch.setattr(audit_tally.clock, "database_now", lambda: now + timedelta(minutes=1))
    happen(SUCCEEDED, now - HOUR)
    audit_tally.read(most=100)

    assert AuditTally.objects.get(hour=(now - HOUR).replace(minute=0, second=0, microsecond=0)).sign_ins == 2


def test_a_look_counts_a_few_hours_and_the_command_all_of_them(hour):
    happen(SUCCEEDED, clock.now() - 30 * HOUR)

    tally = audit_tally.read()

    assert AuditTally.objects.count() == audit_tally.MOST_IN_A_PAGE
    assert not tally.last_day().is_whole
    while audit_tally.close_hours():
        pass
    assert audit_tally.read().day_before() == Counts(1, 0)
    assert AuditTally.objects.count() in {29, 30}


def test_before_the_first_event_there_is_nothing_to_count():
    tally = audit_tally.read()

    assert tally.last_day() == tally.day_before() == Counts(0, 0)
    assert all(counts == Counts(0, 0) for _, counts in tally.days())
    assert not AuditTally.objects.exists()


def test_a_bound_that_is_met_is_told(monkeypatch):
    monkeypatch.setattr(audit_tally, "MOST_COUNTED", 2)
    happen(SUCCEEDED, clock.now(), times=5)

    assert audit_tally.read().last_day() == Counts(3, 0, is_whole=False)


def test_the_share_that_failed_is_of_all_that_tried():
    assert Counts(3, 1).failure_rate == 25
    assert Counts(0, 0).failure_rate is None


def test_what_is_old_goes(hour):
    AuditTally.objects.create(hour=hour - timedelta(days=91), sign_ins=1, failures=0)
    AuditTally.objects.create(hour=hour, sign_ins=1, failures=0)

    assert (audit_tally.prune(), audit_tally.prune()) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_several_that_look_at_once_count_an_hour_once(hour):
    happen(SUCCEEDED, hour, times=3)

    found = at_once(*[lambda: audit_tally.read(most=10).hours[hour] for _ in range(8)])

    assert set(found) == {Counts(3, 0)}
    assert AuditTally.objects.get(hour=hour).sign_ins == 3


def test_the_statements_of_a_look_do_not_grow_with_the_events(hour, count_statements):
    happen(SUCCEEDED, hour)
    audit_tally.read(most=100)
    happen(SUCCEEDED, clock.now(), times=200)

    with count_statements() as statements:
        audit_tally.read()

    assert len(statements) <= 5
