"""The pages of one's own sessions and connected apps (oauth/account_pages.py)."""

import uuid

import pytest
from django.test import Client as Browser

from accounts.clock import Instant
from accounts.models import AuditEvent, User
from oauth import consents
from oauth.models import Consent, Session
from tests.staff import messages_in, send_password, token_in

pytestmark = pytest.mark.django_db

ACTOR = {"actor_id": None, "address": None, "user_agent": ""}
END_OTHERS = "/account/sessions/end-others"


@pytest.fixture
def browser(alice):
    signed_in = Browser(raise_request_exception=False, enforce_csrf_checks=True)
    assert send_password(signed_in, "alice").status_code == 302
    return signed_in


@pytest.fixture
def allow(make_client):
    """Make an app, and let it do something for a user."""

    def make(user, client_id="reader", scope="openid api:read", **fields):
        client = make_client(client_id, **fields).client
        consents.give(user, client=client, scope=scope, actor=ACTOR)
        return Consent.objects.get(user=user, client=client)

    return make


def send(browser, path, *, page=None):
    """Press the button of a page; `page` where it stands on another one."""
    return browser.post(path, {"csrfmiddlewaretoken": token_in(browser.get(page or path))})


def end(browser, session_id):
    return send(browser, f"/account/sessions/{session_id}/end", page="/account/sessions")


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


# --- Sessions ----------------------------------------------------------------------------------


def test_the_sessions_of_a_user_are_listed_with_app_and_device(browser, sign_in, bob):
    sign_in(HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", REMOTE_ADDR="192.0.2.7")
    sign_in("bob", REMOTE_ADDR="192.0.2.99")

    page = text_of(browser.get("/account/sessions"))

    assert all(text in page for text in ("This browser", "Editor", "Firefox on Linux", "192.0.2.7"))
    assert "192.0.2.99" not in page


def test_a_user_without_sessions_is_told_so(browser):
    assert "You are signed in to no app" in text_of(browser.get("/account/sessions"))


def test_the_list_asks_the_database_as_often_for_many_sessions_as_for_one(browser, signed_in, sign_in, count_statements):
    browser.get("/account/sessions")
    with count_statements() as one:
        browser.get("/account/sessions")
    for _ in range(3):
        sign_in()

    with count_statements() as many:
        browser.get("/account/sessions")

    assert len(one) == len(many) == 3  # the browser's session, its user, the sessions with their clients


def test_a_user_ends_one_session_and_twice_is_no_mistake(browser, signed_in, sign_in, session_of, refresh, alice):
    other, session = sign_in(), session_of(signed_in)

    answers = [end(browser, session.pk) for _ in range(2)]

    assert [answer["Location"] for answer in answers] == ["/account/sessions"] * 2
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert refresh(other.body["refresh_token"]).status == 200
    assert AuditEvent.objects.get(event="session:revocation:succeeded").actor_id == alice.pk


def test_nobody_ends_the_session_of_another_or_one_that_is_not_there(browser, sign_in, bob, session_of):
    theirs = session_of(sign_in("bob"))

    answers = [end(browser, each).status_code for each in (theirs.pk, uuid.uuid4(), "nonsense")]

    assert answers == [404, 404, 404]
    assert Session.objects.live().filter(pk=theirs.pk).exists()


def test_looking_ends_nothing(browser, signed_in, session_of):
    session = session_of(signed_in)

    assert browser.get(f"/account/sessions/{session.pk}/end").status_code == 405
    assert text_of(browser.get(END_OTHERS)).count("What happens") == 1
    assert Session.objects.live().filter(pk=session.pk).exists()


def test_signing_out_everywhere_else_leaves_this_browser(alice, browser, signed_in, refresh):
    elsewhere = Browser()
    send_password(elsewhere, "alice")

    assert send(browser, END_OTHERS)["Location"] == "/account/sessions"

    assert messages_in(browser.get("/account/sessions")) == ["You are signed out everywhere but here."]
    assert elsewhere.get("/account").status_code == 302
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert AuditEvent.objects.get(event="user:sessions:revoked").actor_id == alice.pk
    assert User.objects.get(pk=alice.pk).session_epoch == alice.session_epoch + 1


# --- Connected apps ----------------------------------------------------------------------------


def test_connected_apps_are_listed_in_words(alice, bob, browser, allow):
    allow(alice, "reader")
    allow(bob, "writer", "openid api:write")

    page = text_of(browser.get("/account/apps"))

    assert all(text in page for text in ("Reader", "Know who you are on this server", "Read your data"))
    assert "Writer" not in page
    assert "Change your data" not in page


def test_a_user_without_connected_apps_is_told_so(browser):
    assert "You have not allowed an app" in text_of(browser.get("/account/apps"))


def test_disconnecting_forgets_the_consent_and_ends_the_sessions_of_that_app_alone(alice, browser, allow, sign_in, refresh):
    consent = allow(alice)
    through_it, beside_it = sign_in(client_id="reader"), sign_in()
    path = f"/account/apps/{consent.pk}/disconnect"
    assert "Read your data" in text_of(browser.get(path))

    assert send(browser, path)["Location"] == "/account/apps"

    assert messages_in(browser.get("/account/apps")) == ["Reader is disconnected."]
    assert not Consent.objects.exists()
    assert refresh(through_it.body["refresh_token"], client_id="reader").error == "invalid_grant"
    assert refresh(beside_it.body["refresh_token"]).status == 200
    event = AuditEvent.objects.get(event="user:consent:withdrawn")
    assert (event.actor_id, event.client_id, event.detail) == (alice.pk, "reader", {"sessions": 1})


@pytest.mark.parametrize("id", ["theirs", "0", "999999", "9" * 40, "nonsense", "\u0661"])
def test_nobody_disconnects_an_app_of_another_or_one_that_is_not_there(bob, browser, allow, id):
    theirs = allow(bob)
    path = f"/account/apps/{theirs.pk if id == 'theirs' else id}/disconnect"

    assert browser.get(path).status_code == 404
    assert send(browser, path, page="/account").status_code == 404
    assert Consent.objects.filter(pk=theirs.pk).exists()


@pytest.mark.checklist(104)
def test_what_cannot_be_undone_asks_for_a_recent_sign_in(alice, browser, allow, later):
    consent = allow(alice)
    later(minutes=16)

    for path in (END_OTHERS, f"/account/apps/{consent.pk}/disconnect"):
        for response in (browser.get(path), send(browser, path, page="/account")):
            assert response["Location"].startswith("/sign-in/again?next="), path
    assert Consent.objects.exists()
    assert not AuditEvent.objects.filter(event="user:sessions:revoked").exists()


def test_an_expired_session_is_not_listed(browser, signed_in, session_of):
    Session.objects.filter(pk=session_of(signed_in).pk).update(expires_at=Instant())

    assert "Editor" not in text_of(browser.get("/account/sessions"))
