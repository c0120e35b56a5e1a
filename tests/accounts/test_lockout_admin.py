"""Staff see what is locked now, and let somebody in."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.urls import reverse

from accounts import lockout
from accounts.lockout import Locked
from accounts.models import AuditEvent, LoginCounter
from tests.staff import act, confirm, log_in, messages_in, page


@pytest.fixture
def support(make_user):
    """May look at locks and lift them."""
    user = make_user("support", is_staff=True)
    names = ("view_logincounter", "unlock_user")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def browser(support):
    browser = Browser()
    log_in(browser, "support")
    return browser


def lock(name, *, user=None, address="192.0.2.1"):
    for _ in range(5):
        lockout.fail(lockout.reserve(name, user=user, address=address), record={})
    digest = lockout.digest_of(name) if user is None else lockout.digest_of_user(user.pk)
    return LoginCounter.objects.get(digest=digest, source=address)


def test_the_list_shows_what_is_locked_now_and_no_digest(browser, alice, bob):
    counter = lock("alice", user=alice)
    lock("a-password-typed-as-a-name", address="192.0.2.9")
    lockout.fail(lockout.reserve("bob", user=bob, address="192.0.2.3"), record={})

    html = browser.get(page("changelist", LoginCounter)).content.decode()

    assert ">alice<" in html
    assert "a name that is nobody" in html
    assert "192.0.2.9" in html
    assert "192.0.2.3" not in html
    assert "a-password-typed" not in html
    assert bytes(counter.digest).hex() not in html


def test_the_list_costs_the_same_however_many_are_locked(browser, alice, count_statements):
    def statements_of_the_list():
        with count_statements() as statements:
            browser.get(page("changelist", LoginCounter))
        return len(statements)

    lock("alice", user=alice)
    with_one = statements_of_the_list()
    for number in range(5):
        lock(f"nobody-{number}", address=f"192.0.2.{number + 10}")

    assert statements_of_the_list() == with_one


def test_lifting_a_lock_asks_for_confirmation_and_lets_the_user_in_at_once(browser, support, alice):
    counter = lock("alice", user=alice)
    lock("alice", user=alice, address="198.51.100.4")

    asked = act(browser, "lift", [counter])
    with pytest.raises(Locked):
        lockout.reserve("alice", user=alice, address="192.0.2.1")
    done = confirm(browser, "lift", [counter], reason="called, knew the answer")

    assert "alice" in asked.content.decode()
    assert done.status_code == 302
    assert messages_in(browser.get(page("changelist", LoginCounter))) == ["Locks lifted: 2."]
    lockout.reserve("alice", user=alice, address="192.0.2.1")
    event = AuditEvent.objects.get(event="user:lockout:lifted")
    assert (event.actor_id, event.target) == (support.pk, str(alice.pk))
    assert event.detail == {"lanes": 2, "reason": "called, knew the answer"}


def test_the_lock_of_a_name_that_is_nobodys_can_be_lifted_too(browser):
    counter = lock("nobody")

    confirm(browser, "lift", [counter])

    lockout.reserve("nobody", user=None, address="192.0.2.1")


def test_who_may_only_look_lifts_nothing(browser, support, alice):
    support.user_permissions.remove(Permission.objects.get(codename="unlock_user"))
    counter = lock("alice", user=alice)

    refused = confirm(browser, "lift", [counter])

    assert refused.status_code == 403
    assert LoginCounter.objects.locked().count() == 1


def test_the_lock_of_staff_is_for_superusers(browser, make_user):
    counter = lock("root", user=make_user("root", is_staff=True, is_superuser=True))

    confirm(browser, "lift", [counter])

    assert LoginCounter.objects.locked().count() == 1


@pytest.mark.parametrize("path", ["add", "1/delete", "1/change"])
def test_nobody_adds_changes_or_deletes_a_counter(browser, alice, path):
    lock("alice", user=alice)

    before = list(LoginCounter.objects.values())
    browser.post(f"/admin/accounts/logincounter/{path}/", {"locked_until_0": "2030-01-01", "_save": "1", "post": "yes"})

    assert list(LoginCounter.objects.values()) == before


# --- What is locked, told apart ----------------------------------------------------------------------


def shown(browser, **query):
    rows = browser.get(page("changelist", LoginCounter), query).context["cl"].result_list
    return {(row.username or "nobody", row.source) for row in rows}


def test_the_list_opens_with_what_is_locked_now_and_tells_what_has_opened(browser, alice, bob, later):
    lock("alice", user=alice)
    later(minutes=20)
    lock("bob", user=bob, address="192.0.2.9")

    assert shown(browser) == {("bob", "192.0.2.9")}
    assert shown(browser, state="over") == {("alice", "192.0.2.1")}
    assert shown(browser, address="192.0.2.9") == {("bob", "192.0.2.9")}
    assert shown(browser, address="192.0.2.77") == set()


def test_the_list_tells_how_often_it_failed_and_when_it_opens(browser, alice):
    counter = lock("alice", user=alice)

    html = browser.get(page("changelist", LoginCounter)).content.decode()

    assert ">5<" in html
    assert f"{counter.locked_until:%Y-%m-%d %H:%M:%S} UTC" in html
    assert f"{counter.locked_until - timedelta(minutes=15):%Y-%m-%d %H:%M:%S} UTC" in html


def test_an_empty_list_says_what_that_means(browser):
    assert "Nobody is locked out now" in browser.get(page("changelist", LoginCounter)).content.decode()


# --- Unlocking one, and all from an address ----------------------------------------------------------


def unlock_page(counter):
    return reverse("admin:accounts_logincounter_unlock", args=(counter.pk,))


def address_page(address):
    return f"{reverse('admin:accounts_logincounter_unlock_address')}?address={address}"


CONFIRMED = {"confirmed": "True", "reason": "the office"}


def test_one_lock_is_lifted_from_its_row(browser, alice):
    counter = lock("alice", user=alice)

    asked = browser.get(unlock_page(counter))
    assert "alice" in asked.content.decode()
    assert LoginCounter.objects.locked().count() == 1

    assert browser.post(unlock_page(counter), CONFIRMED).status_code == 302
    assert LoginCounter.objects.locked().count() == 0
    assert AuditEvent.objects.get(event="user:lockout:lifted").detail["reason"] == "the office"


def test_all_from_an_address_are_unlocked_but_those_of_staff(browser, alice, bob, make_user):
    for user in (alice, bob, make_user("boss", is_staff=True)):
        lock(user.username, user=user)
    lock("nobody")
    lock("nobody-2", address="192.0.2.200")

    asked = browser.get(address_page("192.0.2.1")).content.decode()
    assert "boss" not in asked
    assert "The lock of 1 member of staff stays" in asked

    done = browser.post(address_page("192.0.2.1"), CONFIRMED)

    assert messages_in(browser.get(done["Location"])) == ["Locks lifted: 3."]
    assert shown(browser) == {("boss", "192.0.2.1"), ("nobody", "192.0.2.200")}


@pytest.mark.checklist(101)
def test_who_may_not_unlock_opens_neither_page(browser, support, alice, make_user):
    staffs = lock("boss", user=make_user("boss", is_staff=True))
    assert [browser.get(unlock_page(staffs)).status_code, browser.post(unlock_page(staffs), CONFIRMED).status_code] == [403, 403]
    support.user_permissions.remove(Permission.objects.get(codename="unlock_user"))
    counter = lock("alice", user=alice)

    for path in (unlock_page(counter), address_page("192.0.2.1")):
        assert [browser.get(path).status_code, browser.post(path, CONFIRMED).status_code] == [403, 403]

    assert "Unlock" not in browser.get(page("changelist", LoginCounter), {"address": "192.0.2.1"}).content.decode()
    assert LoginCounter.objects.locked().count() == 2


def test_an_address_that_locks_nobody_is_told_so(browser):
    answer = browser.post(address_page("192.0.2.1"), CONFIRMED)

    assert messages_in(browser.get(answer["Location"])) == ["Nothing is locked there that you may unlock."]
