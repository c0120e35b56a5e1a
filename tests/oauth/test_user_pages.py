"""The list of users and the page of one: what they tell, what may be done there, by whom, and its record (oauth/user_admin.py)."""

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts import audit, devices, lockout
from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, Outbox, User
from oauth.models import Session
from oauth.user_acts import ACTS
from tests.staff import enrol, give_role, let_in, messages_in, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser_as(make_user):
    """A browser in which somebody of this role is signed in; named like the role."""

    def open_as(role, *, ago=timedelta(0)):
        user = give_role(User.objects.filter(username=role).first() or make_user(role), role)
        browser = Browser(raise_request_exception=False)
        let_in(browser, user, ago=ago)
        return browser

    return open_as


def lock(user, *, address="192.0.2.1"):
    for _ in range(5):
        lockout.fail(lockout.reserve(user.username, user=user, address=address), record={})


def act_page(slug, user):
    return reverse(f"admin:accounts_user_{slug.replace('-', '_')}", args=(user.pk,))


def do(browser, slug, user, *, reason=""):
    return browser.post(act_page(slug, user), {"confirmed": "True", "reason": reason})


def listed(browser, **query):
    return {row.username for row in browser.get(page("changelist", User), query).context["cl"].result_list}


# --- The list --------------------------------------------------------------------------------------


def test_the_list_tells_the_state_of_each_user(browser_as, alice, bob, make_user, signed_in):
    lock(bob)
    make_user("carol", is_active=False)

    html = browser_as("support").get(page("changelist", User), {"is_staff__exact": "0"}).content.decode()

    rows = {name: html.split(f">{name}</a>")[1].split("</tr>")[0] for name in ("alice", "bob", "carol")}
    assert ("Active" in rows["alice"], "Locked" in rows["bob"], "Disabled" in rows["carol"]) == (True, True, True)
    assert ("Unlock…" in rows["alice"], "Unlock…" in rows["bob"]) == (False, True)
    assert ("Sign out…" in rows["alice"], "Sign out…" in rows["bob"]) == (True, False)


def test_the_filters_of_the_list_tell_users_apart(browser_as, alice, bob, make_user, sign_in):
    lock(bob)
    make_user("carol", is_active=False)
    enrol(alice)
    User.objects.filter(username="alice").update(last_sign_in_at=Instant(plus=-timedelta(days=3)))
    User.objects.filter(username="bob").update(last_sign_in_at=Instant(plus=-timedelta(days=90)))
    browser, people = browser_as("viewer"), {"is_staff__exact": "0"}

    assert listed(browser, **people, state="active") == {"alice", "bob"}
    assert listed(browser, **people, state="locked") == {"bob"}
    assert listed(browser, **people, state="disabled") == {"carol"}
    assert listed(browser, **people, two_step="yes") == {"alice"}
    assert listed(browser, **people, two_step="no") == {"bob", "carol"}
    assert listed(browser, **people, signed_in="day") == set()
    assert listed(browser, **people, signed_in="week") == {"alice"}
    assert listed(browser, **people, signed_in="longer") == {"bob"}
    assert listed(browser, **people, signed_in="never") == {"carol"}
    assert listed(browser, **people, state="nonsense", two_step="x", signed_in="x") == {"alice", "bob", "carol"}


def test_the_list_costs_the_same_however_many_users_there_are(browser_as, make_user, count_statements):
    browser = browser_as("support")

    def statements_of_the_list():
        with count_statements() as statements:
            browser.get(page("changelist", User))
        return len(statements)

    few = statements_of_the_list()
    for number in range(5):
        lock(make_user(f"user{number}"))

    assert statements_of_the_list() == few <= 14


# --- The page of one user ------------------------------------------------------------------------------


def test_the_page_shows_locks_sessions_and_what_happened(browser_as, alice, signed_in, session_of):
    lock(alice, address="198.51.100.7")
    audit.record("user:sign_in:failed", target=alice.pk, address="198.51.100.7")
    Session.objects.update(user_agent="Mozilla/5.0 (Windows NT 10.0) Firefox/130.0")

    html = browser_as("support").get(page("change", alice)).content.decode()

    assert "5 failed attempts within 30 days, from 198.51.100.7" in html
    assert "Firefox on Windows" in html
    assert reverse("admin:oauth_session_revoke", args=(session_of(signed_in).pk,)) in html
    assert "user:sign_in:failed" in html


def test_the_page_costs_the_same_however_much_there_is_of_a_user(browser_as, alice, sign_in, count_statements):
    browser = browser_as("owner")

    def statements_of_the_page():
        with count_statements() as statements:
            browser.get(page("change", alice))
        return len(statements)

    assert sign_in().status == 200
    browser.get(page("change", alice))  # what a process asks once is asked
    one = statements_of_the_page()
    for _ in range(4):
        assert sign_in().status == 200
        audit.record("user:sign_in:failed", target=alice.pk)

    assert statements_of_the_page() == one <= 20


def test_each_role_is_offered_what_it_may(browser_as, alice):
    lock(alice)

    def offered(role):
        return {each["url"].split("/")[-2] for each in browser_as(role).get(page("change", alice)).context["acts"]}

    assert offered("viewer") == offered("client-manager") == set()
    assert offered("support") == {"unlock", "send-password-reset", "sign-out-everywhere"}
    assert offered("security-admin") == offered("owner") == {"unlock", "send-password-reset", "sign-out-everywhere", "disable"}


def test_support_never_sees_a_way_to_a_password(browser_as, alice):
    browser = browser_as("support")

    html = browser.get(page("change", alice)).content.decode()

    assert "../password/" not in html
    assert browser.get(reverse("admin:auth_user_password_change", args=(alice.pk,))).status_code == 403


# --- The acts --------------------------------------------------------------------------------------


def test_unlocking_lets_the_user_try_at_once_and_is_on_record(browser_as, alice):
    lock(alice)
    browser = browser_as("support")

    asked, done = browser.get(act_page("unlock", alice)), do(browser, "unlock", alice, reason="knew the answer")

    assert "The failed attempts" not in asked.content.decode()
    assert "the failed attempts are forgotten" in asked.content.decode()
    assert done["Location"] == page("change", alice)
    assert not LoginCounter.objects.locked().exists()
    event = AuditEvent.objects.get(event="user:lockout:lifted")
    assert (event.target, event.detail["reason"]) == (str(alice.pk), "knew the answer")
    assert event.actor_id == User.objects.get(username="support").pk


def test_a_reset_is_sent_to_the_address_on_record_and_changes_nothing(browser_as, alice):
    before = User.objects.filter(pk=alice.pk).values().get()

    do(browser_as("support"), "send-password-reset", alice, reason="forgot it")

    assert [*Outbox.objects.values_list("kind", "user_id", "email")] == [("password_reset", alice.pk, "alice@example.com")]
    assert User.objects.filter(pk=alice.pk).values().get() == before
    event = AuditEvent.objects.get(event="user:password:reset_requested")
    assert (event.target, event.detail) == (str(alice.pk), {"by": "staff", "reason": "forgot it"})


def test_signing_out_ends_every_session(browser_as, alice, signed_in, refresh):
    browser = browser_as("support")

    assert "1 live session ends" in browser.get(act_page("sign-out-everywhere", alice)).content.decode()
    do(browser, "sign-out-everywhere", alice)

    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


def test_a_user_is_disabled_and_enabled_and_has_to_sign_in_anew(browser_as, alice, signed_in, refresh):
    browser = browser_as("security-admin")

    do(browser, "disable", alice, reason="left")
    assert not User.objects.get(pk=alice.pk).is_active
    do(browser, "enable", alice, reason="came back")

    assert User.objects.get(pk=alice.pk).is_active
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    told = AuditEvent.objects.filter(event__startswith="user:account:").order_by("id").values_list("event", "detail")
    assert [*told] == [
        ("user:account:disabled", {"by": "staff", "reason": "left"}),
        ("user:account:enabled", {"by": "staff", "reason": "came back"}),
    ]


def test_the_last_superuser_is_not_disabled(browser_as):
    browser, root = browser_as("owner"), User.objects.get(username="owner")

    answer = do(browser, "disable", root)

    assert "last active superuser" in messages_in(browser.get(answer["Location"]))[0]
    assert User.objects.get(pk=root.pk).is_active


def test_what_is_done_already_is_said_and_not_done_again(browser_as, alice):
    browser = browser_as("support")

    answer = do(browser, "unlock", alice)

    assert messages_in(browser.get(answer["Location"])) == ["There is nothing to do: this was done already, or cannot be done."]
    assert not AuditEvent.objects.filter(event="user:lockout:lifted").exists()


def state():
    return (
        [*User.objects.order_by("pk").values("pk", "is_active", "session_epoch")],
        Outbox.objects.count(),
        LoginCounter.objects.locked().count(),
    )


@pytest.mark.checklist(101)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.slug)
def test_a_get_and_a_post_that_is_not_confirmed_do_nothing(browser_as, alice, act):
    lock(alice)
    User.objects.filter(pk=alice.pk).update(is_active=act.slug != "enable")
    browser = browser_as("owner")
    before = state()

    assert browser.get(act_page(act.slug, alice)).status_code == 200
    assert browser.post(act_page(act.slug, alice)).status_code == 200

    assert state() == before


@pytest.mark.checklist(101)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.slug)
def test_nothing_is_done_by_who_may_only_look(browser_as, alice, act):
    lock(alice)
    User.objects.filter(pk=alice.pk).update(is_active=act.slug != "enable")
    browser = browser_as("client-manager")
    before = state()

    assert browser.get(act_page(act.slug, alice)).status_code == 403
    assert do(browser, act.slug, alice).status_code == 403

    assert state() == before


@pytest.mark.checklist(101)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.slug)
def test_staff_are_for_owners_alone(browser_as, make_user, act):
    colleague = make_user("carol", is_staff=True, is_active=act.slug != "enable")
    lock(colleague)
    browser, owner = browser_as("security-admin"), browser_as("owner")
    before = state()

    assert browser.get(act_page(act.slug, colleague)).status_code == 403
    assert do(browser, act.slug, colleague).status_code == 403

    assert state() == before
    assert do(owner, act.slug, colleague).status_code == 302
    assert state() != before


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.slug)
def test_each_act_asks_who_signed_in_long_ago_to_prove_it_again(browser_as, alice, act):
    lock(alice)
    User.objects.filter(pk=alice.pk).update(is_active=act.slug != "enable")
    browser = browser_as("owner", ago=timedelta(minutes=16))
    before = state()

    assert browser.get(act_page(act.slug, alice))["Location"].startswith("/sign-in/again")
    assert do(browser, act.slug, alice)["Location"].startswith("/sign-in/again")

    assert state() == before


def test_a_user_who_is_not_there_is_not_found(browser_as):
    browser = browser_as("owner")

    for key in ("00000000-0000-0000-0000-000000000000", "nonsense"):
        assert browser.get(f"/admin/accounts/user/{key}/unlock/").status_code == 404


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
            "Chrome on Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1 Version/17.0 Mobile Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
        ("curl/8.1.2", "curl"),
        ("", "unknown device"),
        ("<script>", "unknown device"),
    ],
)
def test_a_device_is_told_in_words(user_agent, words):
    assert devices.in_words(user_agent) == words


def test_the_way_back_from_an_act_is_called_as_the_user_is(browser_as, alice):
    text = browser_as("support").get(act_page("sign-out-everywhere", alice)).content.decode()

    assert f'<a href="{page("change", alice)}">alice</a>' in text
