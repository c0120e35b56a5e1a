"""What people see and change of their own account in a browser (accounts/account_pages.py)."""

from datetime import timedelta

import pytest
from django.test import Client as Browser

from accounts import browser_proof, clock, outbox
from accounts.account_pages import keep_browser
from accounts.models import AuditEvent, Outbox, User
from oauth.models import Session
from tests import secrecy
from tests.conftest import PASSWORD
from tests.staff import code_of, enrol, messages_in, send_code, send_password, token_in

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "another horse, another battery"


@pytest.fixture
def browser(alice):
    secrecy.remember("a user's password", NEW_PASSWORD)
    signed_in = Browser(raise_request_exception=False, enforce_csrf_checks=True)
    assert send_password(signed_in, "alice").status_code == 302
    return signed_in


def send(browser, path, **form):
    """Fill in the form of a page as a person does."""
    return browser.post(path, form | {"csrfmiddlewaretoken": token_in(browser.get(path))})


def change_password(browser, *, current=PASSWORD, new=NEW_PASSWORD, again=NEW_PASSWORD):
    return send(browser, "/account/password", current_password=current, new_password=new, again=again)


def errors_of(response):
    assert response.status_code == 200
    return {name: [*texts] for name, texts in response.context["form"].errors.items()}


def events(name):
    return AuditEvent.objects.filter(event=name)


# --- Signing in --------------------------------------------------------------------------------


def test_anybody_active_signs_in_and_sees_their_own_account(alice, browser):
    page = browser.get("/account")

    assert page.status_code == 200
    assert "alice@example.com" in page.content.decode()
    assert page["Cache-Control"].count("no-store") == 1
    assert events("user:sign_in:succeeded").get().detail == {"door": "browser"}
    assert User.objects.get(pk=alice.pk).last_sign_in_at is not None


def test_who_has_a_second_factor_gives_it(alice):
    enrol(alice)
    browser = Browser()

    assert send_password(browser, "alice")["Location"] == "/sign-in/code"
    assert browser.get("/account").status_code == 302
    assert send_code(browser, code_of(alice)).status_code == 302

    assert browser.get("/account").status_code == 200


@pytest.mark.parametrize(
    "path", ["/account", "/account/email", "/account/password", "/account/security", "/account/sessions", "/account/apps"]
)
def test_a_stranger_is_led_to_the_sign_in_and_back(client, path):
    for response in (client.get(path), client.post(path)):
        assert response.status_code == 405 or response["Location"] == f"/sign-in?next={path}"


def test_a_disabled_user_is_out_at_the_next_request(alice, browser):
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert browser.get("/account").status_code == 302


@pytest.mark.parametrize(("path", "ends"), [("/account", timedelta(hours=1, seconds=1))])
def test_the_session_of_a_browser_ends_when_nobody_uses_it(browser, later, path, ends):
    assert browser.get(path).status_code == 200

    later(seconds=ends.total_seconds())

    assert browser.get(path).status_code == 302


# --- Name --------------------------------------------------------------------------------------


def test_the_name_is_changed_and_said_so(alice, browser):
    response = send(browser, "/account", name="  Alice Lidde\u0301ll ")

    assert response["Location"] == "/account"
    assert messages_in(browser.get("/account")) == ["Your name was changed."]
    assert User.objects.get(pk=alice.pk).name == "Alice Lidd\u00e9ll"
    assert events("user:profile:changed").get().detail == {"fields": ["name"]}


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_stored_is_refused_in_words(alice, browser, name):
    assert errors_of(send(browser, "/account", name=name))["name"]

    assert User.objects.get(pk=alice.pk).name == ""


def test_a_form_without_its_token_changes_nothing(alice, browser):
    for path in ("/account", "/account/password", "/account/email", "/account/sessions/end-others"):
        assert browser.post(path, {"name": "Mallory"}).status_code == 403

    assert User.objects.get(pk=alice.pk).name == ""


# --- E-mail ------------------------------------------------------------------------------------


def test_another_address_is_asked_for_with_the_current_password(alice, browser):
    response = send(browser, "/account/email", email="new@example.com", current_password=PASSWORD)

    assert response["Location"] == "/account"
    assert messages_in(browser.get("/account")) == ["A mail is on its way to new@example.com. The address changes once you confirm it."]
    assert Outbox.objects.get().kind == "email_change"
    assert User.objects.get(pk=alice.pk).email == "alice@example.com"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"email": "new@example.com", "current_password": "wrong"}, "current_password"),
        ({"email": "new@example.com", "current_password": ""}, "current_password"),
        ({"email": "no address", "current_password": PASSWORD}, "email"),
        ({"email": "\u0430lice@example.com", "current_password": PASSWORD}, "email"),
        ({"email": "a\nb@example.com", "current_password": PASSWORD}, "email"),
    ],
)
def test_what_is_wrong_with_another_address_is_said_at_its_field(browser, form, field):
    assert [*errors_of(send(browser, "/account/email", **form))] == [field]

    assert not Outbox.objects.exists()


def test_mails_have_a_ceiling(browser, settings):
    answers = [send(browser, "/account/email", email="new@example.com", current_password=PASSWORD) for _ in range(21)]

    assert {answer.status_code for answer in answers[:20]} == {302}
    assert errors_of(answers[20])["__all__"]


def test_without_mail_no_address_is_changed(browser, settings):
    settings.EMAIL_URL = ""
    assert not outbox.is_set_up()

    assert browser.get("/account/email").status_code == 404
    assert "/account/email" not in browser.get("/account").content.decode()


# --- Password ----------------------------------------------------------------------------------


def test_another_password_ends_every_session_but_that_of_this_browser(alice, browser, signed_in, refresh):
    elsewhere = Browser()
    send_password(elsewhere, "alice")
    key = browser.cookies["authserver-session"].value

    assert change_password(browser)["Location"] == "/account"

    assert messages_in(browser.get("/account")) == ["Your password was changed. You are signed out everywhere but here."]
    assert browser.cookies["authserver-session"].value != key
    assert elsewhere.get("/account").status_code == 302
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert not Session.objects.live().exists()
    assert User.objects.get(pk=alice.pk).check_password(NEW_PASSWORD)
    assert events("user:password:changed").get().detail == {"by": "user"}


def test_another_password_is_a_new_proof_of_who_it_is(alice, browser, rf):
    before = clock.now()

    change_password(browser)

    request = rf.get("/")
    request.user, request.session = alice, browser.session
    assert browser_proof.of(request).auth_time >= before
    assert browser_proof.of(request).amr == "pwd"


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"current": "wrong"}, "current_password"),
        ({"new": "short", "again": "short"}, "new_password"),
        ({"new": "alice@example.com", "again": "alice@example.com"}, "new_password"),
        ({"again": "something else"}, "again"),
    ],
)
def test_what_is_wrong_with_another_password_is_said_at_its_field(alice, browser, form, field):
    assert [*errors_of(change_password(browser, **form))] == [field]

    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


def test_the_policy_is_told_before(browser):
    page = browser.get("/account/password").content.decode()

    assert "at least 8 characters" in page
    assert "at most 128 characters" in page


@pytest.mark.checklist(51)
def test_the_current_password_is_guessed_at_no_longer_than_at_the_sign_in(alice, browser):
    answers = [errors_of(change_password(browser, current=f"guess {number}")) for number in range(5)]

    right = errors_of(change_password(browser))

    assert answers == [{"current_password": ["This is not your password."]}] * 5
    assert right == {"current_password": ["Too many failed attempts. Try again later."]}
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


def test_a_password_that_is_refused_costs_no_attempt(alice, browser):
    for _ in range(6):
        change_password(browser, current="x", new="short", again="short")

    assert change_password(browser).status_code == 302


def test_who_has_no_password_is_told_how_to_get_one(alice, browser):
    alice.set_unusable_password()
    alice.save()
    browser.force_login(alice, backend="accounts.authentication.Backend")

    assert "You have no password" in browser.get("/account/password").content.decode()


def test_a_browser_that_was_ended_meanwhile_is_not_taken_along(alice, rf):
    """`keep_browser` binds the session to the epoch that began here, and somebody began another."""
    browser = Browser()
    browser.force_login(alice, backend="accounts.authentication.Backend")
    request = rf.get("/")
    request.user, request.session = User.objects.get(pk=alice.pk), browser.session
    User.objects.filter(pk=alice.pk).update(session_epoch=alice.session_epoch + 2)

    keep_browser(request, epoch=alice.session_epoch + 1)
    request.session.save()

    browser.cookies["authserver-session"] = request.session.session_key
    assert browser.get("/account").status_code == 302
