"""The JSON API by which users change their own account: what it asks for, what it ends, what it leaves alone."""

import json
import logging
import unicodedata
from datetime import timedelta

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import check_password
from django.core import checks
from django.test import Client as Browser

from accounts import one_time_tokens, outbox
from accounts.clock import Instant
from accounts.models import AuditEvent, LoginCounter, OneTimeToken, Outbox, User
from accounts.sign_in_adapters import PROVED_BY_SECOND_FACTOR
from authserver.env import Rate
from oauth import account_api, clients, own_sessions, session_rows, sessions
from oauth.errors import OAuthError
from oauth.models import Client, Session
from tests.conftest import PASSWORD
from tests.staff import enrol
from tests.threads import at_once

NEW_PASSWORD = "another horse, another battery"
ORIGIN = session_rows.Origin(address="198.51.100.7", user_agent="Portal/1")
UNKNOWN_ID = "8ad819d7-7095-82c4-a6f1-4e89175048ce"


@pytest.fixture
def portal(make_client):
    """An app that may change accounts, when it asks to."""
    return make_client("portal", allowed_scopes="api:read api:write auth:account", default_scopes="api:read").client


@pytest.fixture
def account(sign_in, portal):
    """Alice, signed in to the portal to change her account."""
    answer = sign_in(client_id="portal", scope="api:read auth:account")
    assert answer.status == 200, answer.body
    return answer


@pytest.fixture
def call(account):
    """Send JSON, or bytes, with alice's token or another one."""
    browser = Browser(raise_request_exception=False, enforce_csrf_checks=True)

    def send(method, path, body=None, *, token=account, content_type="application/json", **headers):
        if token is not None:
            headers["HTTP_AUTHORIZATION"] = f"Bearer {token.body['access_token']}"
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return browser.generic(method, path, content, content_type=content_type, **headers)

    return send


@pytest.fixture
def change_password(call):
    def send(new=NEW_PASSWORD, *, current=PASSWORD, **keywords):
        return call("POST", "/api/v1/me/password", {"current_password": current, "new_password": new}, **keywords)

    return send


@pytest.fixture
def change_email(call):
    def send(email="new@example.com", *, current=PASSWORD, **keywords):
        return call("POST", "/api/v1/me/email", {"current_password": current, "email": email}, **keywords)

    return send


def outcome(response):
    """The status, and what the refusal is called."""
    return response.status_code, response.json()["error"] if response.content else None


def stored(user):
    return User.objects.get(pk=user.pk)


# --- The name ------------------------------------------------------------------------------------


def test_a_user_changes_their_name_and_gets_the_profile(call, alice):
    response = call("PATCH", "/api/v1/me", {"name": "  Alice Liddell "})

    assert response.status_code == 200
    assert response.json() == call("GET", "/api/v1/me").json()
    assert response.json()["name"] == stored(alice).name == "Alice Liddell"
    event = AuditEvent.objects.latest()
    assert (event.event, event.actor_id, event.target, event.client_id, event.detail) == (
        "user:profile:changed",
        alice.pk,
        str(alice.pk),
        "portal",
        {"fields": ["name"]},
    )


def test_the_same_name_again_is_no_event(call):
    call("PATCH", "/api/v1/me", {"name": "Alice"})
    call("PATCH", "/api/v1/me", {"name": "Alice"})

    assert AuditEvent.objects.filter(event="user:profile:changed").count() == 1


@pytest.mark.parametrize("name", ["", "Лиза", "李", 'O\'Neil, "A"', "é" * 200])
def test_a_name_is_whatever_people_are_called(call, alice, name):
    decomposed = unicodedata.normalize("NFD", name)

    assert call("PATCH", "/api/v1/me", {"name": decomposed}).status_code == 200
    assert stored(alice).name == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", ["a" * 201, "a\x00b", "a\nb", "a\x1b[2Jb", "a\u2028b", "a\x85b", "\ud800", 7, None, ["a"], True, {"a": 1}])
def test_what_is_no_name_is_refused_and_nothing_is_written(call, alice, name):
    response = call("PATCH", "/api/v1/me", {"name": name})

    assert outcome(response) == (400, "invalid_request")
    assert response.json()["error_description"].startswith("name: ")
    assert stored(alice).name == ""


@pytest.mark.parametrize("member", ["email", "username", "is_staff", "roles", "id", "password"])
def test_no_other_member_of_the_profile_can_be_changed_here(call, alice, member):
    before = User.objects.values().get(pk=alice.pk)

    response = call("PATCH", "/api/v1/me", {"name": "Alice", member: "x"})

    assert outcome(response) == (400, "invalid_request")
    assert response.json()["error_description"] == "The body has these members and no others: name."
    assert User.objects.values().get(pk=alice.pk) == before


# --- The password --------------------------------------------------------------------------------


@pytest.mark.checklist(69)
def test_the_new_password_works_and_the_old_one_does_not(change_password, sign_in, alice):
    response = change_password()

    assert (response.status_code, response.content) == (204, b"")
    assert check_password(NEW_PASSWORD, stored(alice).password)
    assert sign_in(password=NEW_PASSWORD).status == 200
    assert sign_in().error == "invalid_grant"


@pytest.mark.checklist(69, 77)
def test_another_password_ends_every_session_but_the_one_that_changed_it(
    change_password, call, account, signed_in, refresh, sign_in, bob, session_of
):
    bobs = sign_in("bob")

    change_password()

    assert call("GET", "/api/v1/me", token=signed_in).status_code == 401
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert call("GET", "/api/v1/me").status_code == 200
    assert refresh(account.body["refresh_token"], client_id="portal").status == 200
    assert refresh(bobs.body["refresh_token"]).status == 200
    assert [row["id"] for row in call("GET", "/api/v1/sessions").json()["results"]] == [str(session_of(account).pk)]


def test_another_password_ends_the_sessions_of_browsers_too(change_password, alice, client):
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    session = client.session
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(alice.pk), "accounts.authentication.Backend"
    session[HASH_SESSION_KEY] = stored(alice).get_session_auth_hash()
    session[PROVED_BY_SECOND_FACTOR] = str(alice.pk)
    enrol(alice)
    session.save()
    client.cookies["authserver-session"] = session.session_key
    assert client.get("/admin/").status_code == 200

    change_password()

    assert client.get("/admin/").status_code == 302


def test_another_password_is_on_record_and_neither_of_the_two_is(change_password, alice, caplog):
    with caplog.at_level(logging.DEBUG):
        change_password()

    event = AuditEvent.objects.latest()
    assert (event.event, event.actor_id, event.target, event.client_id) == ("user:password:changed", alice.pk, str(alice.pk), "portal")
    assert (event.detail, event.address) == ({"by": "user"}, "127.0.0.1")
    everything = caplog.text + str(list(AuditEvent.objects.values()))
    assert PASSWORD not in everything
    assert NEW_PASSWORD not in everything


def test_another_password_voids_the_codes_that_are_on_their_way(change_password, change_email, mailoutbox, alice):
    change_email("first@example.com")
    outbox.deliver()
    change_email("second@example.com")
    one_time_tokens.make(alice, purpose="password_reset", email="alice@example.com")

    change_password()

    assert (Outbox.objects.count(), OneTimeToken.objects.count()) == (0, 0)


@pytest.mark.parametrize("current", ["wrong", PASSWORD.upper(), f"{PASSWORD} ", "a" * 5000])
def test_a_wrong_current_password_changes_nothing(change_password, alice, refresh, signed_in, current):
    response = change_password(current=current)

    assert outcome(response) == (400, "invalid_password")
    assert check_password(PASSWORD, stored(alice).password)
    assert refresh(signed_in.body["refresh_token"]).status == 200
    assert not AuditEvent.objects.filter(event="user:password:changed").exists()


def test_a_wrong_current_password_is_counted_at_the_one_door(change_password, alice, sign_in, settings):
    settings.BRUTE_FORCE_THRESHOLD = 3
    refusals = [change_password(current="wrong") for _ in range(3)]

    assert [outcome(response) for response in refusals] == [(400, "invalid_password")] * 3
    locked = change_password()
    assert outcome(locked) == (403, "account_locked")
    assert int(locked["Retry-After"]) > 0
    assert sign_in().error == "account_locked"
    event = AuditEvent.objects.filter(event="user:sign_in:failed").earliest("pk")
    assert (event.target, event.client_id, event.detail["door"], event.detail["reason"]) == (
        str(alice.pk),
        "portal",
        "api",
        "wrong password",
    )
    assert event.error_id == refusals[0].json()["error_id"]


def test_the_right_current_password_forgives_what_was_mistyped_before(change_password, alice):
    change_password(current="wrong")

    change_password()

    assert [counter.failures for counter in LoginCounter.objects.filter(user_id=alice.pk).exclude(source="*")] == [0]
    assert not any(counter.in_flight for counter in LoginCounter.objects.all())


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("7chars!", "This password is too short. It must contain at least 8 characters."),
        ("password123", "This password is too common."),
        ("alice@example", "The password is too similar to the e-mail."),
        ("a1!" * 43, "Your password may have at most 128 characters."),
        ("я" * 600, "Your password may have at most 128 characters."),
    ],
    ids=["short", "common", "similar", "long", "many bytes"],
)
def test_a_new_password_that_the_policy_refuses_is_answered_with_the_reasons(change_password, alice, new, reason):
    response = change_password(new)

    assert outcome(response) == (400, "password_policy")
    assert response.json().keys() == {"error", "error_description", "error_id", "reasons"}
    assert response.json()["reasons"] == [reason]
    assert check_password(PASSWORD, stored(alice).password)


def test_all_that_is_wrong_with_a_new_password_is_said_at_once(change_password):
    assert len(change_password("test123").json()["reasons"]) == 2


def test_a_new_password_that_is_refused_costs_no_hash(change_password, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a hash was computed")

    monkeypatch.setattr("accounts.passwords.make_password", fail)
    monkeypatch.setattr("accounts.authentication._verdict", fail)

    assert outcome(change_password("a" * 2000)) == (400, "password_policy")


def test_a_password_is_the_same_in_every_unicode_form(change_password, sign_in):
    assert change_password("пароль с Ёлкой й").status_code == 204
    assert change_password(NEW_PASSWORD, current="пароль с Ёлкой й").status_code == 204


@pytest.mark.parametrize("new", ["horse\x00battery", "horse\nbattery!", "horse battery \ud800"])
def test_a_password_that_could_not_be_typed_at_sign_in_is_refused(change_password, alice, new):
    assert outcome(change_password(new)) == (400, "invalid_request")
    assert check_password(PASSWORD, stored(alice).password)


def test_white_space_around_a_password_belongs_to_it(change_password, sign_in):
    assert change_password("  another horse  ").status_code == 204

    assert sign_in(password="another horse").error == "invalid_grant"
    assert sign_in(password="  another horse  ").status == 200


@pytest.mark.parametrize("meanwhile", [{"session_epoch": 7}, {"is_active": False}], ids=["signed out", "disabled"])
def test_who_was_signed_out_or_disabled_while_the_password_was_verified_changes_nothing(change_password, alice, monkeypatch, meanwhile):
    def and_meanwhile(user, **keywords):
        User.objects.filter(pk=alice.pk).update(**meanwhile)
        return change(user, **keywords)

    change = account_api.passwords.change
    monkeypatch.setattr(account_api.passwords, "change", and_meanwhile)

    assert outcome(change_password()) == (401, "invalid_token")
    assert check_password(PASSWORD, stored(alice).password)
    assert not AuditEvent.objects.filter(event="user:password:changed").exists()


@pytest.mark.parametrize(
    "end",
    [
        lambda rows: rows.update(revoked_at=Instant()),
        lambda rows: rows.update(expires_at=Instant()),
        lambda rows: rows.update(user_epoch=0),
    ],
    ids=["revoked", "expired", "of an epoch before"],
)
def test_a_session_that_ended_while_the_password_was_verified_changes_nothing(
    change_password, alice, account, session_of, monkeypatch, end
):
    def and_meanwhile(user, **keywords):
        end(Session.objects.filter(pk=session_of(account).pk))
        return change(user, **keywords)

    change = account_api.passwords.change
    monkeypatch.setattr(account_api.passwords, "change", and_meanwhile)

    assert outcome(change_password()) == (401, "invalid_token")
    assert check_password(PASSWORD, stored(alice).password)


def test_a_name_that_went_to_somebody_else_meanwhile_proves_nothing(change_password, alice, bob, monkeypatch):
    """Alice's token is read; then staff give her name to bob, whose password she knows."""

    def and_meanwhile(*arguments, **keywords):
        User.objects.filter(pk=alice.pk).update(username_canonical="alice-2")
        User.objects.filter(pk=bob.pk).update(username_canonical="alice")
        return verify(*arguments, **keywords)

    verify = account_api.verify_password
    monkeypatch.setattr(account_api, "verify_password", and_meanwhile)

    assert outcome(change_password()) == (400, "invalid_password")
    assert check_password(PASSWORD, stored(bob).password)


def test_when_every_slot_for_a_hash_is_taken_the_answer_is_503(change_password, monkeypatch):
    from accounts import passwords
    from accounts.hash_slots import Slots

    slots = Slots(slots=1, waiting=0)
    monkeypatch.setattr(passwords, "slots", slots)

    with slots.admit():
        response = change_password()

    assert outcome(response) == (503, "temporarily_unavailable")
    assert response["Retry-After"] in {"1", "2", "3"}


@pytest.mark.django_db(transaction=True)
def test_a_refresh_that_runs_beside_the_change_goes_on(alice, portal, sign_in, refresh, settings):
    """The current session survives whichever of the two is first."""
    settings.REFRESH_OVERLAP_SECONDS = 0
    for round_number in range(15):
        answer = sign_in(client_id="portal", scope="api:read auth:account")
        session = Session.objects.latest("created_at")
        user = stored(alice)

        def change(user=user, session=session, number=round_number):
            from django.db import transaction

            from accounts import passwords
            from accounts.actors import Actor

            actor = Actor(actor_id=user.pk, address=None, user_agent="")
            with transaction.atomic():
                epoch = passwords.change(user, encoded=user.password, actor=actor, client_id="portal")
                own_sessions.keep(session.pk, epoch=epoch)

        def spend(token=answer.body["refresh_token"]):
            return sessions.refresh(token, client=portal, scope="", idempotency_key="", origin=ORIGIN)

        issued, changed = at_once(spend, change, refusals=(OAuthError,))

        assert changed is None
        assert not isinstance(issued, OAuthError), issued.reason
        session.refresh_from_db()
        assert (session.generation, session.user_epoch, session.revoked_at) == (1, user.session_epoch + 1, None)
        assert refresh(issued.refresh_token_value, client_id="portal").status == 200


@pytest.mark.django_db(transaction=True)
def test_of_parallel_changes_one_succeeds_and_its_session_lives(change_password, call, alice):
    results = at_once(*[lambda number=number: change_password(f"horse number {number} of five") for number in range(5)])

    statuses = sorted(response.status_code for response in results)
    [won] = [number for number, response in enumerate(results) if response.status_code == 204]
    assert statuses[0] == 204
    assert set(statuses[1:]) <= {400, 401, 503}
    assert check_password(f"horse number {won} of five", stored(alice).password)
    assert call("GET", "/api/v1/me").status_code == 200


# --- The e-mail address --------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["new@example.com", "BOB@example.com", "alice@example.com"], ids=["free", "taken", "one's own"])
def test_the_answer_is_the_same_whosever_the_address_is(change_email, bob, email):
    response = change_email(email)

    assert (response.status_code, response.json()) == (202, {"status": "confirmation_sent"})
    assert Outbox.objects.count() == 1
    event = AuditEvent.objects.latest()
    assert (event.event, event.client_id) == ("user:email:change_requested", "portal")


def test_the_whole_way_of_an_address(change_email, call, alice, mailoutbox, caplog):
    with caplog.at_level(logging.DEBUG):
        change_email("New@Example.com", HTTP_ACCEPT_LANGUAGE="ru")
        outbox.deliver()
        [mail] = mailoutbox
        code = next(line for line in mail.body.splitlines() if "#" in line).partition("#")[2]
        confirmed = call("POST", "/api/v1/confirm-email", {"token": code}, token=None)
        outbox.deliver()

    assert mail.subject == "Подтвердите адрес электронной почты"
    assert (confirmed.status_code, confirmed.content) == (204, b"")
    assert call("GET", "/api/v1/me").json()["email"] == "New@Example.com"
    assert mailoutbox[1].to == ["alice@example.com"]
    assert code not in caplog.text + str(list(AuditEvent.objects.values()))


def test_from_one_address_no_more_mails_are_asked_for_than_its_ceiling_allows(change_email, settings):
    settings.RATE_LIMIT_FAILURES_PER_IP = Rate(2, timedelta(hours=1))

    answers = [change_email() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].json()["error"] == "rate_limit_exceeded"
    assert int(answers[2]["Retry-After"]) > 0
    assert AuditEvent.objects.filter(event="user:email:change_requested").count() == 2


def test_a_wrong_password_asks_for_no_mail(change_email):
    assert outcome(change_email(current="wrong")) == (400, "invalid_password")
    assert Outbox.objects.count() == 0


@pytest.mark.parametrize(
    "email", ["", "alice", "a@b", "a@example.com\r\nBcc: b@example.com", "a@example.com,b@example.com", 7, "\ud800@example.com"]
)
def test_what_is_no_address_is_refused_before_the_password_is_looked_at(change_email, email):
    response = change_email(email, current="wrong")

    assert outcome(response) == (400, "invalid_request")
    assert response.json()["error_description"].startswith("email: ")
    assert Outbox.objects.count() == 0


def test_without_a_mail_server_there_is_no_such_thing(change_email, settings):
    settings.EMAIL_URL = ""

    response = change_email()

    assert outcome(response) == (404, "not_found")
    assert response.json()["error_description"] == "E-mail is not set up on this server."


def test_a_mail_server_that_is_away_is_no_concern_of_the_request(change_email, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    assert change_email().status_code == 202
    assert outbox.deliver() == 0
    assert Outbox.objects.get().tries == 1


@pytest.mark.parametrize("registration", ["closed", "open"])
def test_a_code_is_confirmed_whether_or_not_people_may_register(call, alice, settings, registration):
    settings.REGISTRATION = registration
    code = one_time_tokens.make(alice, purpose="email_change", email="new@example.com")

    assert call("POST", "/api/v1/confirm-email", {"token": code}, token=None).status_code == 204
    assert stored(alice).email == "new@example.com"


def test_wrong_used_and_expired_codes_are_answered_alike(call, alice, bob, later):
    def confirm(code):
        response = call("POST", "/api/v1/confirm-email", {"token": code}, token=None)
        body = response.json()
        del body["error_id"]
        return response.status_code, body

    used = one_time_tokens.make(alice, purpose="email_change", email="new@example.com")
    assert call("POST", "/api/v1/confirm-email", {"token": used}, token=None).status_code == 204
    taken = one_time_tokens.make(alice, purpose="email_change", email="bob@example.com")
    answers = [confirm(code) for code in ("wrong", used, taken, "A" * 43)]
    expired = one_time_tokens.make(bob, purpose="email_change", email="newer@example.com")
    later(minutes=31)
    answers.append(confirm(expired))

    assert answers == [(400, {"error": "invalid_code", "error_description": "The code is wrong, used or expired."})] * 5


def test_a_deployment_without_a_mail_server_is_pointed_out(settings):
    def warnings():
        return [message.id for message in checks.run_checks(include_deployment_checks=True) if message.id == "accounts.W003"]

    settings.EMAIL_URL = "smtp://mail.example.com"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert warnings() == []
    for settings.EMAIL_BACKEND in ("django.core.mail.backends.dummy.EmailBackend", "django.core.mail.backends.console.EmailBackend"):
        assert warnings() == ["accounts.W003"]


# --- Bodies and scopes ---------------------------------------------------------------------------

ENDPOINTS = [
    ("PATCH", "/api/v1/me"),
    ("POST", "/api/v1/me/password"),
    ("POST", "/api/v1/me/email"),
    ("POST", "/api/v1/confirm-email"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"NaN",
        b'{"name": NaN}',
        b'{"name": "a", "name": "b"}',
        b'{"token": "a", "token": "a"}',
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"name": ' + b"9" * 10_000 + b"}",
        b"\xef\xbb\xbf{}",
        b"{}",
        b'{"": ""}',
        b'{"\\ud800": "x"}',
        b'{"password": "x", "current_password": "x"}',
    ],
)
def test_a_body_that_is_not_what_is_asked_for_is_refused(call, method, path, body):
    assert outcome(call(method, path, body)) == (400, "invalid_request")


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x\r\ny"]
)
def test_another_content_type_is_refused(call, method, path, content_type):
    response = call(method, path, {"name": "a"}, content_type=content_type)

    assert outcome(response) == (400, "invalid_request")


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_body_of_more_than_64_kib_is_refused(call, method, path):
    assert outcome(call(method, path, b'{"name": "' + b"a" * 65_530 + b'"}')) == (413, "invalid_request")


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_chunked_body_is_refused_with_the_reason(call, method, path):
    response = call(method, path, HTTP_TRANSFER_ENCODING="chunked")

    assert outcome(response) == (400, "invalid_request")
    assert "Content-Length" in response.json()["error_description"]


def test_a_charset_beside_the_content_type_is_no_harm(call):
    assert call("PATCH", "/api/v1/me", {"name": "Alice"}, content_type="application/json; charset=utf-8").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [*ENDPOINTS[:3], ("DELETE", "/api/v1/sessions"), ("DELETE", f"/api/v1/sessions/{UNKNOWN_ID}")],
)
def test_what_changes_an_account_needs_the_scope_for_it(call, signed_in, method, path):
    """Before anything of the body is looked at."""
    response = call(method, path, b"{", token=signed_in)

    assert outcome(response) == (403, "insufficient_scope")
    assert response["WWW-Authenticate"].endswith('error="insufficient_scope", scope="auth:account"')
    assert outcome(call(method, path, b"{", token=None)) == (401, "invalid_token")


def test_the_scope_for_changes_does_not_read(call, sign_in, portal):
    changer = sign_in(client_id="portal", scope="auth:account")

    assert call("PATCH", "/api/v1/me", {"name": "Alice"}, token=changer).status_code == 200
    for method in ("GET", "HEAD"):
        assert call(method, "/api/v1/me", token=changer).status_code == 403


def test_the_scope_is_in_nobodys_defaults(sign_in, portal):
    assert sign_in(client_id="portal").body["scope"] == "api:read"
    with pytest.raises(Exception, match="Only given when asked for"):
        clients.register(
            "greedy",
            name="Greedy",
            is_public=True,
            grant_types=("password",),
            allowed_scopes="auth:account",
            default_scopes="auth:account",
        )


def test_a_clients_own_token_changes_no_account(call, make_client, post):
    robot = make_client("robot", is_public=False, grant_types=("client_credentials",), allowed_scopes="auth:account", default_scopes="")
    token = post({"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value, "scope": "auth:account"})

    assert outcome(call("PATCH", "/api/v1/me", {"name": "x"}, token=token)) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/me"),
        ("GET", "/api/v1/me/password"),
        ("GET", f"/api/v1/sessions/{UNKNOWN_ID}"),
        ("OPTIONS", "/api/v1/me/email"),
        ("OPTIONS", "/api/v1/sessions"),
        ("OPTIONS", "/api/v1/confirm-email"),
        ("GET", "/api/v1/password-reset/request"),
        ("OPTIONS", "/api/v1/password-reset/confirm"),
    ],
)
def test_other_methods_give_nothing_away(call, method, path):
    response = call(method, path)

    assert outcome(response) == (405, "invalid_request")
    assert {*response.json()} == {"error", "error_description", "error_id"}


# --- Sessions ------------------------------------------------------------------------------------


@pytest.mark.checklist(77)
def test_a_user_ends_one_of_their_sessions(call, signed_in, session_of, refresh, alice):
    session = session_of(signed_in)

    response = call("DELETE", f"/api/v1/sessions/{session.pk}")

    assert (response.status_code, response.content) == (204, b"")
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert call("GET", "/api/v1/me", token=signed_in).status_code == 401
    assert str(session.pk) not in [row["id"] for row in call("GET", "/api/v1/sessions").json()["results"]]
    event = AuditEvent.objects.get(event="session:revocation:succeeded")
    assert (event.actor_id, event.target, event.client_id, event.detail) == (alice.pk, str(session.pk), "editor", {"by": "user"})


def test_ending_it_again_is_no_mistake_and_no_event(call, signed_in, session_of):
    path = f"/api/v1/sessions/{session_of(signed_in).pk}"

    assert [call("DELETE", path).status_code for _ in range(2)] == [204, 204]
    assert AuditEvent.objects.filter(event="session:revocation:succeeded").count() == 1


def test_one_may_end_the_session_that_asks(call, account, session_of):
    assert call("DELETE", f"/api/v1/sessions/{session_of(account).pk}").status_code == 204
    assert call("GET", "/api/v1/me").status_code == 401


def test_another_users_session_looks_like_none(call, sign_in, bob, session_of, refresh):
    bobs = sign_in("bob")

    foreign = call("DELETE", f"/api/v1/sessions/{session_of(bobs).pk}")
    unknown = call("DELETE", f"/api/v1/sessions/{UNKNOWN_ID}")

    bodies = [response.json() | {"error_id": ""} for response in (foreign, unknown)]
    assert bodies[0] == bodies[1]
    assert outcome(foreign) == outcome(unknown) == (404, "not_found")
    assert refresh(bobs.body["refresh_token"]).status == 200


@pytest.mark.parametrize("name", ["x", "%00", "1" * 300, "8ad819d7"])
def test_what_names_no_session_is_not_found(call, name):
    assert outcome(call("DELETE", f"/api/v1/sessions/{name}")) == (404, "not_found")


@pytest.mark.checklist(77)
def test_a_user_ends_all_sessions_but_the_current_one(call, account, signed_in, sign_in, bob, refresh, session_of, alice):
    others, bobs = [signed_in, sign_in()], sign_in("bob")

    response = call("DELETE", "/api/v1/sessions")

    assert (response.status_code, response.content) == (204, b"")
    for other in others:
        assert refresh(other.body["refresh_token"]).error == "invalid_grant"
        assert call("GET", "/api/v1/me", token=other).status_code == 401
    assert [row["id"] for row in call("GET", "/api/v1/sessions").json()["results"]] == [str(session_of(account).pk)]
    assert refresh(account.body["refresh_token"], client_id="portal").status == 200
    assert refresh(bobs.body["refresh_token"]).status == 200
    event = AuditEvent.objects.get(event="user:sessions:revoked")
    assert (event.actor_id, event.target, event.detail) == (alice.pk, str(alice.pk), {"by": "user"})


def test_after_it_one_signs_in_as_before(call, sign_in):
    call("DELETE", "/api/v1/sessions")

    assert sign_in().status == 200
    assert call("DELETE", "/api/v1/sessions").status_code == 204


@pytest.mark.django_db(transaction=True)
def test_of_two_sessions_that_end_all_others_at_once_one_is_left(call, account, sign_in, portal):
    other = sign_in(client_id="portal", scope="api:read auth:account")

    results = at_once(*[lambda token=token: call("DELETE", "/api/v1/sessions", token=token).status_code for token in (account, other)])

    assert sorted(results) == [204, 401]
    alive = [call("GET", "/api/v1/me", token=token).status_code for token in (account, other)]
    assert sorted(alive) == [200, 401]
    assert alive.index(200) == results.index(204)


def test_no_reader_of_the_rows_is_needed_to_know_that_the_client_lives(call, portal):
    Client.objects.filter(pk=portal.pk).update(is_active=False)

    assert call("DELETE", "/api/v1/sessions").status_code == 401
