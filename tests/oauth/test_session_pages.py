"""The list of sessions and the page that revokes one: what they tell, and who may (oauth/session_admin.py)."""

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from accounts import clock
from accounts.models import AuditEvent
from oauth.models import Session
from tests.staff import give_role, let_in, messages_in, page

pytestmark = pytest.mark.django_db

CONFIRMED = {"confirmed": "True", "reason": "a lost telephone"}


@pytest.fixture
def browser_as(make_user):
    def open_as(role, *, ago=timedelta(0)):
        browser = Browser(raise_request_exception=False)
        let_in(browser, give_role(make_user(role), role), ago=ago)
        return browser

    return open_as


def revoke_page(session):
    return reverse("admin:oauth_session_revoke", args=(session.pk,))


def test_the_list_names_the_device_in_words_and_offers_what_can_be_revoked(browser_as, signed_in, sign_in, session_of):
    Session.objects.update(user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile Safari/604.1")
    over = session_of(sign_in())
    Session.objects.filter(pk=over.pk).update(revoked_at=clock.now(), revoked_reason="ended_by_user")
    live = session_of(signed_in)

    support = browser_as("support").get(page("changelist", Session)).content.decode()
    viewer = browser_as("viewer").get(page("changelist", Session)).content.decode()

    assert "Safari on iPhone" in support
    assert "ended: ended by the user" in support
    assert (revoke_page(live) in support, revoke_page(over) in support) == (True, False)
    assert revoke_page(live) not in viewer


def test_sessions_that_ended_by_a_reused_token_are_found(browser_as, signed_in, sign_in, session_of):
    stolen = session_of(sign_in())
    Session.objects.filter(pk=stolen.pk).update(revoked_at=clock.now(), revoked_reason="refresh_token_reused")
    browser = browser_as("viewer")

    reused = browser.get(page("changelist", Session), {"reused": "yes"}).context["cl"].result_list
    everything = browser.get(page("changelist", Session), {"reused": "nonsense"}).context["cl"].result_list

    assert [row.pk for row in reused] == [stolen.pk]
    assert len(everything) == 2


def test_one_session_is_revoked_and_the_others_go_on(browser_as, signed_in, sign_in, session_of, refresh):
    other, session = sign_in(), session_of(signed_in)
    browser = browser_as("support")

    asked = browser.get(revoke_page(session)).content.decode()
    assert "alice is signed out of Editor" in asked
    assert Session.objects.live().count() == 2

    done = browser.post(revoke_page(session), CONFIRMED)

    assert messages_in(browser.get(done["Location"])) == ["The session is revoked."]
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert refresh(other.body["refresh_token"]).status == 200
    assert AuditEvent.objects.get(event="session:revocation:succeeded").detail["reason"] == "a lost telephone"


def test_a_session_that_is_over_is_told_so(browser_as, signed_in, session_of):
    session = session_of(signed_in)
    Session.objects.update(revoked_at=clock.now(), revoked_reason="ended_by_user")
    browser = browser_as("support")

    done = browser.post(revoke_page(session), CONFIRMED)

    assert messages_in(browser.get(done["Location"])) == ["This session is over already."]
    assert Session.objects.get().revoked_reason == "ended_by_user"


@pytest.mark.checklist(101)
def test_who_may_only_look_revokes_nothing(browser_as, signed_in, session_of):
    browser, session = browser_as("viewer"), session_of(signed_in)

    assert [browser.get(revoke_page(session)).status_code, browser.post(revoke_page(session), CONFIRMED).status_code] == [403, 403]

    assert Session.objects.live().count() == 1


@pytest.mark.checklist(101)
def test_a_session_of_staff_is_revoked_by_an_owner_alone(browser_as, alice, signed_in, session_of):
    session = session_of(signed_in)
    give_role(alice, "viewer")
    support, owner = browser_as("support"), browser_as("owner")

    assert [support.get(revoke_page(session)).status_code, support.post(revoke_page(session), CONFIRMED).status_code] == [403, 403]
    assert Session.objects.live().count() == 1

    assert owner.post(revoke_page(session), CONFIRMED).status_code == 302
    assert Session.objects.live().count() == 0


def test_revoking_takes_a_recent_sign_in(browser_as, signed_in, session_of):
    browser = browser_as("support", ago=timedelta(minutes=16))

    assert browser.post(revoke_page(session_of(signed_in)), CONFIRMED)["Location"].startswith("/sign-in/again")

    assert Session.objects.live().count() == 1
