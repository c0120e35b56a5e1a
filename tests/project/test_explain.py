"""“Explain this failure”: the true reason behind an error_id, for who may see it (authserver/admin/explain.py)."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client as Browser

from accounts.models import AuditEvent, Refusal
from tests.staff import let_in, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(make_user):
    def send(error_id, *permissions):
        user = make_user("helper", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        browser = Browser()
        let_in(browser, user)
        return browser.post("/admin/explain/", {"error_id": error_id})

    return send


ALL = ("view_refusal", "view_user", "view_client", "view_auditevent")


def test_a_wrong_password_is_explained_with_user_client_events_and_advice(ask, sign_in, alice, editor):
    error_id = sign_in("alice", "not the password", HTTP_USER_AGENT="Editor/1").body["error_id"]

    answer = ask(f" {error_id.upper()} ", *ALL)

    text = answer.content.decode()
    for part in ("wrong password", "The user has to sign in again", "Editor/1", "127.0.0.1", "grant_type", "user:sign_in:failed"):
        assert part in text
    assert (page("change", alice) in text, page("change", editor) in text) == (True, True)
    assert "not the password" not in text
    assert [event.error_id for event in answer.context["events"]] == [AuditEvent.objects.latest().error_id] == [error_id]


def test_who_may_see_refusals_alone_gets_names_without_links_and_no_events(ask, sign_in, alice, editor):
    error_id = sign_in("alice", "not the password").body["error_id"]

    answer = ask(error_id, "view_refusal")

    text = answer.content.decode()
    assert ("wrong password" in text, "alice" in text) == (True, True)
    assert (page("change", alice) in text, page("change", editor) in text, "user:sign_in:failed" in text) == (False, False, False)


@pytest.mark.parametrize("permissions", [(), ("view_auditevent", "view_user")])
def test_without_the_permission_nothing_is_explained(ask, sign_in, alice, permissions):
    error_id = sign_in("alice", "not the password").body["error_id"]

    assert ask(error_id, *permissions).status_code == 403


@pytest.mark.parametrize(
    ("typed", "told"), [("0123456789abcdef", "kept for 14 days"), ("what?", "16 characters from 0 to 9"), ("", "required")]
)
def test_what_is_not_found_says_why_that_can_be(ask, db, typed, told):
    answer = ask(typed, *ALL)

    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert answer.context["found"] is None


def test_a_user_who_was_deleted_and_refusals_that_were_left_out_are_said(ask, sign_in, alice):
    error_id = sign_in("alice", "not the password").body["error_id"]
    Refusal.objects.filter(pk=error_id).update(skipped_before=7)
    pk = str(alice.pk)
    alice.delete()

    text = ask(error_id, *ALL).content.decode()

    assert "7 refusals before this one" in text
    assert "deleted since" in text
    assert pk in text
