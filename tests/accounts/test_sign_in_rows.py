"""What a sign-in writes: all of it or nothing, in one statement or step by step (accounts/sign_in_rows.py)."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import F

from accounts import audit, clock, login_lanes, sign_in_rows
from accounts.authentication import AuthenticationFailed, record_sign_in
from accounts.lockout import Locked
from accounts.models import AuditEvent, LoginCounter, User
from oauth import sessions
from oauth.models import Client, Session
from oauth.session_rows import Origin
from tests.accounts.attempts import authenticate
from tests.conftest import PASSWORD
from tests.threads import at_once

pytestmark = pytest.mark.django_db

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")


def event(user, number=1):
    return audit.row("user:sign_in:succeeded", actor_id=user.pk, target=f"the {number}.", address=HERE, detail={"door": "token"})


def verified(address=HERE):
    return authenticate("alice", password=PASSWORD, address=address)


def lanes():
    return {row.source: row for row in LoginCounter.objects.all()}


def written():
    """What there is of sign-ins."""
    return User.objects.get().last_sign_in_at, AuditEvent.objects.filter(event="user:sign_in:succeeded").count()


@pytest.fixture(params=["at once", "step by step"])
def way(request, monkeypatch):
    if request.param == "step by step":
        monkeypatch.setattr(sign_in_rows, "write_at_once", lambda *_: False)
    elif connection.vendor == "postgresql":
        write, done = sign_in_rows.write_at_once, []
        monkeypatch.setattr(sign_in_rows, "write_at_once", lambda *given: done.append(write(*given)) or done[-1])
        return done
    return []


def test_both_ways_leave_the_same(alice, way):
    for address in (HERE, HERE, ELSEWHERE):
        record_sign_in(verified(address), event(alice, 1), event(alice, 2))

    assert all(way)
    at, events = written()
    assert clock.now() - at < timedelta(minutes=1)
    assert events == 6
    assert {*AuditEvent.objects.values_list("target", flat=True)} == {"the 1.", "the 2."}
    row = AuditEvent.objects.filter(target="the 2.").first()
    assert (row.actor_id, row.event, row.address, row.detail) == (alice.pk, "user:sign_in:succeeded", HERE, {"door": "token"})
    assert {source: (lane.failures, lane.in_flight, lane.locked_until) for source, lane in lanes().items()} == {
        HERE: (0, {}, None),
        ELSEWHERE: (0, {}, None),
        login_lanes.EVERYWHERE: (0, {}, None),
    }
    assert lanes()[HERE].last_success_at <= lanes()[ELSEWHERE].last_success_at
    assert lanes()[login_lanes.EVERYWHERE].last_success_at is None


def test_of_others_that_run_everywhere_none_is_released(alice, way):
    running = verified(ELSEWHERE)

    record_sign_in(verified(HERE), event(alice))

    assert {source: [*lane.in_flight] for source, lane in lanes().items()} == {
        HERE: [],
        ELSEWHERE: [running.reservation.id],
        login_lanes.EVERYWHERE: [running.reservation.id],
    }


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"session_epoch": F("session_epoch") + 1}], ids=["disabled", "signed out everywhere"]
)
def test_of_one_who_may_not_sign_in_any_more_nothing_is_written(alice, way, change):
    authenticated = verified()
    User.objects.update(**change)

    with pytest.raises(AuthenticationFailed, match="changed meanwhile"):
        record_sign_in(authenticated, event(alice))

    assert written() == (None, 0)
    assert [*lanes()[HERE].in_flight] == [authenticated.reservation.id]


def test_in_a_lane_that_was_locked_meanwhile_nothing_is_written(alice, way):
    authenticated = verified()
    LoginCounter.objects.filter(source=HERE).update(locked_until=clock.now() + timedelta(minutes=15))

    with pytest.raises(Locked):
        record_sign_in(authenticated, event(alice))

    assert written() == (None, 0)


@pytest.mark.django_db(transaction=True)
def test_a_row_that_cannot_be_written_takes_all_of_it_back(alice, way):
    authenticated, broken = verified(), event(alice)
    broken.parameters["detail"] = "no JSON"

    with pytest.raises(Exception, match=r"(?i)json"):
        record_sign_in(authenticated, event(alice), broken)

    assert written() == (None, 0)
    assert lanes()[HERE].last_success_at is None


@pytest.mark.django_db(transaction=True)
def test_what_the_end_of_the_transaction_refuses_leaves_nothing(alice, editor, way):
    """The client of the session is gone, which its foreign key finds out last."""
    authenticated, origin = verified(), Origin(address=HERE, user_agent="")
    opening = {"role_names": (), "client": editor, "scope": "api:read", "amr": "pwd", "origin": origin, "auth_time": clock.now()}
    _, session = sessions.new(alice, **opening)
    Client.objects.filter(pk=editor.pk).delete()

    with pytest.raises(IntegrityError):
        record_sign_in(authenticated, session, event(alice))

    assert written() == (None, 0)
    assert not Session.objects.exists()
    assert [*lanes()[HERE].in_flight] == [authenticated.reservation.id]


def test_the_failures_of_who_has_a_second_factor_stay_counted(alice, way):
    authenticated = verified()
    LoginCounter.objects.update(failures=3, window_started_at=clock.now())
    authenticated.user.second_factor_enrolled = True

    record_sign_in(authenticated, event(alice))

    assert way == []
    assert {lane.failures for lane in lanes().values()} == {3}


def while_another_holds(change, act, *, then=lambda waiting: None, refusals=()):
    """What `act` comes to, which begins after `change` and waits for its end; `then` is told the process that waits."""
    changed = threading.Event()

    def change_and_hold():
        with transaction.atomic():
            change()
            changed.set()
            then(_who_waits())

    def act_meanwhile():
        assert changed.wait(timeout=10)
        return act()

    return at_once(change_and_hold, act_meanwhile, refusals=refusals)[1]


def _who_waits():
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_locks WHERE NOT granted")
            if row := cursor.fetchone():
                return row[0]
        time.sleep(0.01)
    raise AssertionError("nobody waits")


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("change", "signs_in"), [({"name": "Alicia"}, True), ({"is_active": False}, False)], ids=["renamed", "disabled"])
def test_the_row_decides_as_it_is_after_a_wait_for_it(alice, way, change, signs_in):
    authenticated = verified()

    result = while_another_holds(
        lambda: User.objects.update(**change), lambda: record_sign_in(authenticated, event(alice)), refusals=(AuthenticationFailed,)
    )

    at, events = written()
    assert (at is not None, events) == (signs_in, int(signs_in))
    assert isinstance(result, AuthenticationFailed) is not signs_in
    assert {name: getattr(User.objects.get(), name) for name in change} == change


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("held", [LoginCounter, User], ids=["the lane", "the user"])
def test_a_lock_that_began_during_the_wait_is_not_lifted(alice, way, held):
    authenticated, until = verified(), clock.now() + timedelta(minutes=15)

    def lock():
        held.objects.select_for_update(no_key=True).first()
        LoginCounter.objects.filter(source=HERE).update(locked_until=until)

    result = while_another_holds(lock, lambda: record_sign_in(authenticated, event(alice)), refusals=(Locked,))

    assert isinstance(result, Locked)
    assert written() == (None, 0)
    assert lanes()[HERE].locked_until == until


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_who_waits_for_the_lane_holds_the_user_as_all_do_who_take_both(alice, way):
    """The other way round would be a deadlock, with a new password that lifts the locks."""
    authenticated = verified()

    def find_the_user_held(waiting):
        with pytest.raises(OperationalError, match="could not obtain lock"), transaction.atomic():
            User.objects.select_for_update(nowait=True, no_key=True).get()

    while_another_holds(
        lambda: LoginCounter.objects.select_for_update(no_key=True).get(source=HERE),
        lambda: record_sign_in(authenticated, event(alice)),
        then=find_the_user_held,
    )

    assert written()[1] == 1


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_lost_leaves_nothing_but_the_reservation(alice, way):
    authenticated = verified()

    def end(waiting):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [waiting])

    result = while_another_holds(
        lambda: LoginCounter.objects.select_for_update(no_key=True).get(source=HERE),
        lambda: record_sign_in(authenticated, event(alice)),
        then=end,
        refusals=(OperationalError,),
    )

    assert isinstance(result, OperationalError)
    assert written() == (None, 0)
    assert [*lanes()[HERE].in_flight] == [authenticated.reservation.id]


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_sign_ins_of_one_user_at_once_all_end_well(alice, way):
    ready = [verified(f"192.0.2.{number}") for number in range(1, 5)]

    results = at_once(*[lambda one=one: record_sign_in(one, event(alice)) for one in ready])

    assert results == [None] * 4
    assert written()[1] == 4
    assert all(lane.in_flight == {} for lane in lanes().values())
