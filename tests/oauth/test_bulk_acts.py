"""Acts on many rows of a list: who is left out, what is said first, that each is done and recorded, and what it costs."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from accounts import lockout
from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, Outbox, User
from oauth.models import Client, Session
from tests.staff import act, confirm, give_role, let_in, messages_in

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(101, 103)]
USER_ACTS = ("unlock_users", "send_password_resets", "sign_out_everywhere", "disable_users")


@pytest.fixture
def browser_of(make_user):
    """A browser in which somebody of this role is signed in; they are called like the role."""

    def open_one(role, **how):
        browser = Browser(raise_request_exception=False)
        let_in(browser, give_role(make_user(role), role), **how)
        return browser

    return open_one


@pytest.fixture
def lock():
    def do(user):
        for _ in range(5):
            lockout.fail(lockout.reserve(user.username, user=user, address="198.51.100.7"), record={})

    return do


def told(browser, response):
    assert response.status_code == 302
    return messages_in(browser.get(response["Location"]))


def recorded(event):
    return {*AuditEvent.objects.filter(event=event).values_list("target", "detail__reason")}


def test_many_are_unlocked_and_who_is_not_locked_is_left_out(browser_of, lock, alice, bob, make_user):
    carol = make_user("carol")
    lock(alice)
    lock(carol)
    browser = browser_of("support")

    asked = act(browser, "unlock_users", [alice, bob, carol]).content.decode()
    done = confirm(browser, "unlock_users", [alice, bob, carol], reason="they called")

    assert "2 users: alice, carol." in asked
    assert "Left out, as nothing locks them: bob." in asked
    assert told(browser, done) == ["Unlock: done for 2. Left out, as nothing locks them: bob."]
    assert not LoginCounter.objects.locked().exists()
    assert recorded("user:lockout:lifted") == {(str(alice.pk), "they called"), (str(carol.pk), "they called")}


def test_many_get_a_mail_and_who_has_no_address_is_left_out(browser_of, alice, make_user):
    carol = make_user("carol", email="")
    browser = browser_of("support")

    done = confirm(browser, "send_password_resets", [alice, carol])

    assert told(browser, done) == ["Send password reset: done for 1. Left out, as no mail can be sent to them: carol."]
    assert [*Outbox.objects.filter(kind="password_reset").values_list("user__username", flat=True)] == ["alice"]
    assert recorded("user:password:reset_requested") == {(str(alice.pk), "an incident")}


def test_many_are_disabled_and_their_sessions_end(browser_of, alice, bob, signed_in):
    browser = browser_of("security-admin")

    asked = act(browser, "disable_users", [alice, bob]).content.decode()
    assert "1 live session ends" in asked
    assert User.objects.filter(pk__in=(alice.pk, bob.pk), is_active=True).count() == 2

    assert told(browser, confirm(browser, "disable_users", [alice, bob])) == ["Disable: done for 2."]

    assert not User.objects.filter(pk__in=(alice.pk, bob.pk), is_active=True).exists()
    assert not Session.objects.live().exists()
    assert recorded("user:account:disabled") == {(str(alice.pk), "an incident"), (str(bob.pk), "an incident")}


@pytest.mark.parametrize("action", USER_ACTS)
def test_staff_are_left_out_of_what_only_an_owner_may_do_to_them(browser_of, lock, alice, make_user, action):
    boss = make_user("boss", is_staff=True)
    for each in (alice, boss):
        lock(each)
    browser = browser_of("security-admin")

    asked = act(browser, action, [alice, boss]).content.decode()
    done = confirm(browser, action, [alice, boss])

    left_out = "Left out, as staff are an owner&#x27;s to change: boss."
    assert "1 user: alice." in asked
    assert left_out in asked
    assert told(browser, done)[0].endswith("done for 1. Left out, as staff are an owner's to change: boss.")
    assert {*AuditEvent.objects.filter(actor_id__isnull=False).values_list("target", flat=True)} == {str(alice.pk)}


@pytest.mark.parametrize("action", ["sign_out_everywhere", "disable_users"])
def test_an_owner_does_not_shut_themselves_out_among_others(browser_of, alice, action):
    browser = browser_of("owner")
    owner = User.objects.get(username="owner")

    done = confirm(browser, action, [alice, owner])

    assert told(browser, done)[0].endswith("done for 1. Left out, as it is you: owner.")
    assert User.objects.get(pk=owner.pk).is_active


def test_where_nobody_is_left_nothing_is_asked(browser_of, alice):
    browser = browser_of("support")

    assert told(browser, act(browser, "unlock_users", [alice])) == ["Nothing was done. Left out, as nothing locks them: alice."]


def test_an_act_on_many_needs_a_reason(browser_of, alice):
    browser = browser_of("support")

    response = confirm(browser, "sign_out_everywhere", [alice], reason="")

    assert response.status_code == 200
    assert User.objects.get(pk=alice.pk).session_epoch == alice.session_epoch


@pytest.mark.checklist(104)
@pytest.mark.parametrize(("action", "role"), [*((action, "security-admin") for action in USER_ACTS), ("disable_clients", "client-manager")])
def test_an_act_on_many_asks_again_who_signed_in_long_ago(browser_of, alice, editor, action, role):
    browser = browser_of(role, ago=timedelta(minutes=16))

    response = confirm(browser, action, [editor if action == "disable_clients" else alice])

    assert response.status_code == 302
    assert response["Location"].startswith("/sign-in/again")
    assert not AuditEvent.objects.filter(actor_id__isnull=False).exists()


def test_no_more_are_chosen_than_an_act_may_have(browser_of, alice, bob, monkeypatch):
    monkeypatch.setattr("accounts.careful_admin.MOST_AT_ONCE", 1)
    browser = browser_of("security-admin")

    assert told(browser, confirm(browser, "disable_users", [alice, bob])) == ["Choose at most 1 at once. Nothing was done."]


def test_many_clients_are_disabled_and_who_is_disabled_already_is_left_out(browser_of, editor, robot, sign_in, alice):
    Client.objects.filter(pk=robot.client.pk).update(is_active=False)
    browser = browser_of("client-manager")

    asked = act(browser, "disable_clients", [editor, robot.client]).content.decode()
    done = confirm(browser, "disable_clients", [editor, robot.client], reason="a breach")

    assert f"1 client: {editor}." in asked
    assert told(browser, done) == [f"Disable the clients: done for 1. Left out, as they are disabled already: {robot.client}."]
    assert sign_in("alice").status == 401
    event = AuditEvent.objects.get(event="client:registration:disabled")
    assert (event.client_id, event.detail["reason"]) == ("editor", "a breach")


def test_asking_costs_the_same_for_two_users_and_for_twenty(browser_of, make_user, lock):
    people = [make_user(f"user{number}") for number in range(20)]
    browser = browser_of("security-admin")
    for each in people:
        lock(each)
    LoginCounter.objects.update(locked_until=Instant(plus=timedelta(minutes=15)))
    act(browser, "disable_users", people[:2])

    costs = {}
    for count in (2, 20):
        for action in USER_ACTS:
            with CaptureQueriesContext(connection) as queries:
                act(browser, action, people[:count])
            costs[(action, count)] = len(queries)

    assert {costs[(action, 20)] - costs[(action, 2)] for action in USER_ACTS} == {0}
