"""So many hashes at once, so many who wait, nobody else."""

import os
import sys
import threading
import time

import pytest
from prometheus_client import REGISTRY

from accounts.hash_slots import NICENESS, Full, Slots
from accounts.models import LoginCounter
from tests.accounts.attempts import authenticate
from tests.conftest import PASSWORD


class Holder:
    """A thread that holds a slot until it is told to let go."""

    def __init__(self, slots):
        self._has, self._lets_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(slots,), daemon=True)
        self._thread.start()
        assert self._has.wait(5)

    def _run(self, slots):
        with slots.admit(), slots.take():
            self._has.set()
            self._lets_go.wait(10)

    def let_go(self):
        self._lets_go.set()
        self._thread.join(5)


def sample(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


def test_who_hashes_who_waits_and_who_is_turned_away_is_counted():
    slots = Slots(slots=1, waiting=1, wait_seconds=0.1)
    full, late = ({"reason": reason} for reason in ("full", "waited too long"))
    refused = {reason["reason"]: sample("auth_password_hashes_refused_total", **reason) for reason in (full, late)}
    begun, waited = sample("auth_password_hash_wait_seconds_count"), sample("auth_password_hash_wait_seconds_sum")
    holder = Holder(slots)
    assert sample("auth_password_hashes", state="hashing") == 1

    with slots.admit():
        with pytest.raises(Full), slots.admit():
            pass
        with pytest.raises(Full), slots.take():
            pass
    holder.let_go()

    assert sample("auth_password_hashes_refused_total", **full) == refused["full"] + 1
    assert sample("auth_password_hashes_refused_total", **late) == refused["waited too long"] + 1
    assert sample("auth_password_hash_wait_seconds_count") == begun + 1
    assert waited <= sample("auth_password_hash_wait_seconds_sum") < waited + 0.1
    assert [sample("auth_password_hashes", state=state) for state in ("hashing", "waiting")] == [0, 0]


def test_who_waits_is_counted_while_it_waits():
    slots = Slots(slots=1, waiting=1, wait_seconds=30)
    holder = Holder(slots)
    waited = sample("auth_password_hash_wait_seconds_sum")

    waiter = threading.Thread(target=lambda: Holder(slots).let_go())
    waiter.start()
    deadline = time.monotonic() + 5
    while sample("auth_password_hashes", state="waiting") != 1 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert sample("auth_password_hashes", state="waiting") == 1
    holder.let_go()
    waiter.join(5)

    assert sample("auth_password_hashes", state="waiting") == 0
    assert sample("auth_password_hash_wait_seconds_sum") >= waited + 0.05


def test_a_slot_that_is_given_back_is_taken_again():
    slots = Slots(slots=1, waiting=0)

    for _ in range(3):
        with slots.admit(), slots.take():
            pass


def test_who_waits_gets_the_slot_when_it_is_free():
    slots = Slots(slots=1, waiting=1, wait_seconds=30)
    holder = Holder(slots)

    waiter = threading.Thread(target=lambda: Holder(slots).let_go())
    waiter.start()
    time.sleep(0.05)
    holder.let_go()
    waiter.join(5)

    assert not waiter.is_alive()


def test_who_waits_too_long_is_refused():
    slots = Slots(slots=1, waiting=1, wait_seconds=0.05)
    holder = Holder(slots)

    with slots.admit(), pytest.raises(Full), slots.take():
        pytest.fail("the slot was given twice")

    holder.let_go()
    with slots.admit(), slots.take():
        pass


def test_when_as_many_wait_as_may_the_next_is_refused_at_once():
    slots = Slots(slots=1, waiting=1)
    holder = Holder(slots)

    with slots.admit(), pytest.raises(Full), slots.admit():
        pytest.fail("a third was let in")

    holder.let_go()
    with slots.admit(), slots.take():
        pass


def test_a_slot_is_given_back_when_the_hash_fails():
    slots = Slots(slots=1, waiting=0, wait_seconds=0.05)

    with pytest.raises(ZeroDivisionError), slots.admit(), slots.take():
        _ = 1 / 0

    with slots.admit(), slots.take():
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="a priority is of the whole process there")
def test_a_hash_is_computed_by_a_thread_that_stands_back():
    slots = Slots(slots=1, waiting=0)

    with slots.admit(), slots.take():
        niceness = slots.compute(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    assert niceness == max(NICENESS, os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))


@pytest.mark.skipif(sys.platform != "linux", reason="a priority is of the whole process there")
def test_a_server_that_stands_back_further_itself_hashes_as_far_back():
    slots = Slots(slots=1, waiting=0)

    def compute_from_behind(computed):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS + 5)
        computed.append(slots.compute(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

    niceness = []
    thread = threading.Thread(target=compute_from_behind, args=(niceness,))
    thread.start()
    thread.join(5)

    assert niceness == [NICENESS + 5]


def test_who_is_not_admitted_asks_the_database_nothing(alice, monkeypatch, count_statements):
    slots = Slots(slots=1, waiting=0)
    monkeypatch.setattr("accounts.authentication.slots", slots)
    holder = Holder(slots)

    with count_statements() as statements, pytest.raises(Full):
        authenticate("alice", password=PASSWORD)

    holder.let_go()
    assert len(statements) == 0


def test_an_attempt_without_a_slot_counts_as_nothing(alice, monkeypatch):
    slots = Slots(slots=1, waiting=1, wait_seconds=0.01)
    monkeypatch.setattr("accounts.authentication.slots", slots)
    holder = Holder(slots)

    with pytest.raises(Full):
        authenticate("alice", password=PASSWORD)

    holder.let_go()
    assert {(row.failures, len(row.in_flight)) for row in LoginCounter.objects.all()} == {(0, 0)}


def test_the_client_is_told_to_come_back(sign_in, monkeypatch):
    slots = Slots(slots=1, waiting=1, wait_seconds=0.01)
    monkeypatch.setattr("accounts.authentication.slots", slots)
    holder = Holder(slots)

    answer = sign_in()

    holder.let_go()
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert answer.response["Retry-After"] in {"1", "2", "3"}
