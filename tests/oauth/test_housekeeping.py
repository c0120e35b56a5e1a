"""One process of all removes what is past its time, once a day, and whoever dies over it is followed by another."""

import logging
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError

from accounts.clock import Instant
from accounts.models import Refusal
from oauth import housekeeping
from oauth.models import Housekeeping, KeySetUse

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_old():
    """Counts that are past their time: so many rows that go at the next round."""

    def make(count):
        for number in range(count):
            KeySetUse.objects.create(hour=Instant(plus=-timedelta(days=30, hours=number)), answered_200=1, answered_304=0)

    return make


def test_a_round_removes_what_is_past_its_time_and_says_how_much(make_old):
    make_old(3)

    removed = housekeeping.round_if_due()

    assert removed["key-set counts"] == 3
    assert not KeySetUse.objects.exists()


def test_a_round_is_done_once_a_day(make_old, later):
    assert housekeeping.round_if_due() is not None
    make_old(1)
    assert housekeeping.round_if_due() is None
    later(hours=23)
    assert housekeeping.round_if_due() is None
    assert KeySetUse.objects.exists()

    later(hours=2)

    assert housekeeping.round_if_due()["key-set counts"] == 1


def test_two_are_never_at_it_at_once(monkeypatch):
    seen = []

    def batches(*, keep_sessions):
        seen.append(housekeeping.round_if_due())
        yield housekeeping.Batch("sessions", 0, 0)

    monkeypatch.setattr(housekeeping, "batches", batches)

    assert housekeeping.round_if_due() is not None
    assert seen == [None]


def test_who_dies_over_it_is_followed_by_another(monkeypatch, later):
    def batches(*, keep_sessions):
        raise OperationalError("the process ends here")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(housekeeping, "batches", batches)
        with pytest.raises(OperationalError):
            housekeeping.round_if_due()

    assert housekeeping.round_if_due() is None
    later(minutes=11)
    assert housekeeping.round_if_due() is not None


def test_who_stood_still_too_long_leaves_it_to_whoever_took_over(monkeypatch, later):
    went_on = []

    def batches(*, keep_sessions):
        yield housekeeping.Batch("sessions", 1, 1)
        later(minutes=11)
        Housekeeping.objects.update(holder="another")
        yield housekeeping.Batch("sessions", 1, 1)
        went_on.append(True)

    monkeypatch.setattr(housekeeping, "batches", batches)
    monkeypatch.setattr(housekeeping, "LEASE", timedelta(0))  # so that it is renewed with each batch

    assert housekeeping.round_if_due() is None
    assert not went_on
    assert Housekeeping.objects.get().holder == "another"


def test_a_database_that_is_away_is_told_of_and_tried_again(monkeypatch, caplog):
    def fail():
        raise OperationalError("connection refused")

    monkeypatch.setattr(housekeeping, "round_if_due", fail)
    monkeypatch.setattr(housekeeping.connection, "close", lambda: None)  # it is the test's own
    with caplog.at_level(logging.WARNING):
        housekeeping._round_or_report()

    assert [(record.message, record.reason) for record in caplog.records] == [
        ("housekeeping could not go on; some process tries again within minutes", "OperationalError")
    ]


def test_what_went_stands_in_the_log(make_old, monkeypatch, caplog):
    monkeypatch.setattr(housekeeping.connection, "close", lambda: None)
    make_old(2)
    with caplog.at_level(logging.INFO):
        housekeeping._round_or_report()
        housekeeping._round_or_report()

    assert [record.removed for record in caplog.records if record.message == "housekeeping is done"] == [{"key-set counts": 2}]


@pytest.mark.parametrize(("is_on", "threads"), [(True, ["housekeeping"]), (False, [])])
def test_a_server_process_begins_to_look_unless_that_is_switched_off(settings, monkeypatch, is_on, threads):
    begun = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: begun.append(thread.name))
    settings.HOUSEKEEPING = is_on

    housekeeping.poll()

    assert begun == threads


def test_every_kind_is_told_of_even_if_nothing_goes():
    assert not Refusal.objects.exists()

    kinds = [batch.kind for batch in housekeeping.batches(keep_sessions=timedelta(days=30))]

    assert [*dict.fromkeys(kinds)] == [*housekeeping._PRUNE, housekeeping.SESSIONS]
