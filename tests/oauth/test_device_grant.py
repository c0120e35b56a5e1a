"""A device asks for codes, waits, and is let in once (RFC 8628)."""

import re
from datetime import timedelta

import pytest
from django.db import connection

from accounts.models import AuditEvent, Refusal, User
from oauth import clients, device_codes, keys
from oauth.models import DEVICE_CODE, Client, DeviceCode, Session
from oauth.session_rows import Origin
from tests.devices import ask, browser_of, decide, let_device_in, poll, query_of, row, type_code

pytestmark = [pytest.mark.django_db, pytest.mark.checklist(118)]

GRANTS = (DEVICE_CODE, "refresh_token")


@pytest.fixture
def console(make_client):
    """A public program on a device without a browser."""
    return make_client("console", grant_types=GRANTS).client


@pytest.fixture
def asked(console, post):
    answer = ask(post)
    assert answer.status == 200, answer.body
    return answer.body


@pytest.fixture
def warm(monkeypatch, asked):
    """Client cache and key ring stay filled however slow the machine is."""
    monkeypatch.setattr(keys, "POLL_SECONDS", 600)
    monkeypatch.setattr(clients, "CACHE_SECONDS", 600)
    keys.ring.view()


# --- The device asks ---------------------------------------------------------------------------


@pytest.mark.spec("RFC 8628", "3.2", "device_code, user_code, verification_uri, expires_in, interval")
def test_a_device_is_told_its_codes_where_to_send_its_user_and_how_often_to_ask(console, post, settings):
    answer = ask(post, scope="api:read")

    assert answer.status == 200
    assert answer.response["Cache-Control"] == "no-store"
    assert re.fullmatch(r"[\w-]{43}", answer.body.pop("device_code"))
    user_code = answer.body["user_code"]
    assert answer.body == {
        "user_code": user_code,
        "verification_uri": f"{settings.JWT_ISSUER}/oauth/device",
        "verification_uri_complete": f"{settings.JWT_ISSUER}/oauth/device?user_code={user_code}",
        "expires_in": 600,
        "interval": 5,
    }
    assert query_of(answer.body["verification_uri_complete"]) == {"user_code": [user_code]}
    assert (row().scope, row().client, row().decision) == ("api:read", console, "pending")


@pytest.mark.spec("RFC 8628", "5.2", "device codes are not stored in clear")
def test_neither_code_is_in_the_database(asked):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM oauth_devicecode")
        stored = " ".join(bytes(value).hex() if isinstance(value, (bytes, memoryview)) else str(value) for value in cursor.fetchone())

    for secret in (asked["device_code"], asked["user_code"], asked["user_code"].replace("-", "")):
        assert secret not in stored
        assert secret.encode().hex() not in stored
    assert asked["user_code"] not in f"{row()} {row()!r}"


def test_codes_are_not_printed_by_accident(console):
    codes = device_codes.make(console, scope="api:read", origin=Origin("203.0.113.9", "console/1"))

    assert codes.device_code not in f"{codes} {codes!r}"
    assert codes.user_code not in f"{codes} {codes!r}"


def test_a_charset_in_the_content_type_is_fine(console, post):
    content_type = "application/x-www-form-urlencoded; charset=UTF-8"

    answer = post({"client_id": "console"}, path="/oauth/device_authorization", content_type=content_type)

    assert answer.status == 200


@pytest.mark.spec("RFC 8628", "3.1", "client authentication as at the token endpoint")
def test_a_confidential_client_authenticates(make_client, post):
    made = make_client("kiosk", is_public=False, grant_types=GRANTS)

    assert ask(post, client_id="kiosk").error == "invalid_client"
    assert ask(post, client_id="kiosk", client_secret="wrong" * 8).error == "invalid_client"
    assert ask(post, client_id="kiosk", client_secret=made.secret_value).status == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "api:read"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": "console", "scope": "api:write beyond:measure"}, "invalid_scope"),
        ({"client_id": "console", "scope": "a  b"}, "invalid_scope"),
        (b"client_id=console&client_id=console", "invalid_request"),
        (b"client_id=console&scope=%00", "invalid_request"),
        (b"client_id=console&scope=%ff", "invalid_request"),
    ],
)
def test_what_is_wrong_is_told_as_at_the_token_endpoint(console, post, form, error):
    answer = post(form, path="/oauth/device_authorization")

    assert (answer.error, DeviceCode.objects.count()) == (error, 0)
    assert answer.status == (401 if error == "invalid_client" else 400)


def test_a_client_without_the_grant_gets_no_codes(editor, post):
    assert ask(post, client_id="editor").error == "unauthorized_client"


def test_nothing_but_post_and_nothing_in_the_query(console, client, post):
    assert client.get("/oauth/device_authorization").status_code == 405
    assert post({"client_id": "console"}, path="/oauth/device_authorization?scope=api:read").error == "invalid_request"


@pytest.mark.spec("RFC 8628", "5.4", "a stranger's code never makes the stranger an administrator")
def test_no_administrator_is_made_by_a_code(make_client, post):
    make_client("panel", grant_types=GRANTS, allowed_scopes="api:read auth:admin", default_scopes="api:read")

    assert ask(post, client_id="panel", scope="auth:admin").error == "invalid_scope"
    assert ask(post, client_id="panel", scope="api:read").status == 200


def test_only_so_many_devices_of_a_client_wait_at_one_address(console, make_client, post, later, monkeypatch):
    monkeypatch.setattr(device_codes, "MOST_OPEN", 3)
    make_client("other", grant_types=GRANTS)
    here, elsewhere = {"REMOTE_ADDR": "2001:db8::1"}, {"REMOTE_ADDR": "2001:db8:0:1::1"}
    for last in range(3):
        assert ask(post, REMOTE_ADDR=f"2001:db8::{last + 2}").status == 200

    refused = ask(post, **here)

    assert (refused.status, refused.error) == (429, "rate_limit_exceeded")
    assert 0 < refused.body["retry_after"] <= 600
    assert ask(post, **elsewhere).status == 200
    assert ask(post, client_id="other", **here).status == 200
    later(minutes=10)
    assert ask(post, **here).status == 200


def test_requests_for_codes_count_with_those_for_tokens(console, post, settings):
    settings.RATE_LIMIT_PER_IP = settings.RATE_LIMIT_PER_IP.__class__(limit=2, period=timedelta(minutes=1))

    assert [ask(post).status for _ in range(3)] == [200, 200, 429]


# --- It waits ----------------------------------------------------------------------------------


@pytest.mark.spec("RFC 8628", "3.5", "authorization_pending")
def test_while_nobody_has_decided_it_is_told_so(asked, post, later):
    for _ in range(3):
        answer = poll(post, asked["device_code"])
        assert (answer.status, answer.error) == (400, "authorization_pending")
        later(seconds=5)

    assert row().interval == 5
    assert Refusal.objects.count() == 0


@pytest.mark.spec("RFC 8628", "3.5", "slow_down: the interval MUST be increased by 5 seconds")
def test_who_asks_too_early_has_to_wait_longer_from_then_on(asked, post, later):
    assert poll(post, asked["device_code"]).error == "authorization_pending"
    later(seconds=1)
    assert poll(post, asked["device_code"]).error == "slow_down"
    later(seconds=5)
    assert poll(post, asked["device_code"]).error == "slow_down"

    later(seconds=15)
    assert poll(post, asked["device_code"]).error == "authorization_pending"
    assert row().interval == 15
    for _ in range(20):
        poll(post, asked["device_code"])
    assert row().interval == 60


def test_a_poll_asks_the_database_twice(warm, asked, post, count_statements):
    with count_statements() as statements:
        assert poll(post, asked["device_code"]).error == "authorization_pending"

    assert len(statements) == 2


@pytest.mark.spec("RFC 8628", "3.5", "expired_token")
def test_after_ten_minutes_it_has_to_begin_anew(asked, alice, post, later):
    later(minutes=10)

    assert poll(post, asked["device_code"]).error == "expired_token"
    assert type_code(browser_of(alice), asked["user_code"]).status_code == 400


def test_what_was_approved_expires_too(asked, alice, post, later):
    let_device_in(alice, asked["user_code"])
    later(minutes=10)

    assert poll(post, asked["device_code"]).error == "expired_token"
    assert Session.objects.count() == 0


@pytest.mark.spec("RFC 8628", "3.5", "access_denied")
def test_a_device_that_was_turned_away_is_told_so(asked, alice, post):
    browser = browser_of(alice)
    assert decide(browser, type_code(browser, asked["user_code"]), "deny").status_code == 200

    answers = [poll(post, asked["device_code"]).error for _ in range(2)]

    assert answers == ["access_denied", "access_denied"]
    assert AuditEvent.objects.filter(event="device:code:denied", actor_id=alice.pk, client_id="console").count() == 1


# --- It is let in ------------------------------------------------------------------------------


@pytest.mark.spec("RFC 8628", "3.5", "the tokens, as of any grant")
def test_a_device_that_was_let_in_gets_a_session_of_whoever_let_it_in(asked, alice, post, refresh, claims_of, session_of):
    let_device_in(alice, asked["user_code"], ago=timedelta(minutes=7))

    answer = poll(post, asked["device_code"])

    assert (answer.status, answer.body["token_type"], answer.body["scope"]) == (200, "Bearer", "api:read api:write")
    claims, session = claims_of(answer), session_of(answer)
    assert (claims["sub"], claims["client_id"], claims["roles"]) == (str(alice.pk), "console", ["author", "reviewer"])
    assert claims["amr"] == ["otp"]
    assert 400 < claims["iat"] - claims["auth_time"] < 440
    assert (session.user, session.user_epoch, int(session.auth_time.timestamp())) == (alice, alice.session_epoch, claims["auth_time"])
    [event] = AuditEvent.objects.filter(event="user:sign_in:succeeded", target=claims["sid"])
    assert (event.actor_id, event.client_id, event.detail) == (alice.pk, "console", {"grant": "device_code"})
    assert refresh(answer.body["refresh_token"], client_id="console").status == 200


@pytest.mark.spec("RFC 8628", "3.5", "a device code is used once")
def test_a_code_that_was_used_is_worth_nothing(asked, alice, post):
    let_device_in(alice, asked["user_code"])

    answers = [poll(post, asked["device_code"]) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 400, 400]
    assert {answer.error for answer in answers[1:]} == {"invalid_grant"}
    assert Session.objects.count() == 1
    assert type_code(browser_of(alice), asked["user_code"]).status_code == 400


@pytest.mark.spec("RFC 8628", "3.4", "a device code is its client's alone")
def test_another_client_learns_nothing_of_a_code_and_spoils_nothing(asked, alice, make_client, post):
    make_client("thief", grant_types=GRANTS)
    let_device_in(alice, asked["user_code"])

    stolen, unknown = poll(post, asked["device_code"], client_id="thief"), poll(post, "x" * 43, client_id="thief")

    assert stolen.error == unknown.error == "invalid_grant"
    assert {name: stolen.body[name] for name in stolen.body if name != "error_id"} == {
        name: unknown.body[name] for name in unknown.body if name != "error_id"
    }
    assert poll(post, asked["device_code"]).status == 200


@pytest.mark.parametrize("value", ["", "x" * 60_000, "é", "WDJB-MJHT"])
def test_what_is_no_code_is_refused(console, post, value):
    assert poll(post, value).error == ("invalid_grant" if value else "invalid_request")


@pytest.mark.checklist(68, 69)
@pytest.mark.parametrize("change", [{"is_active": False}, {"session_epoch": 99}])
def test_whoever_was_disabled_or_signed_out_since_lets_nobody_in(asked, alice, post, change):
    let_device_in(alice, asked["user_code"])
    User.objects.filter(pk=alice.pk).update(**change)

    assert poll(post, asked["device_code"]).error == "invalid_grant"
    assert (Session.objects.count(), row().decision) == (0, "approved")


def test_scopes_that_the_client_lost_since_are_not_given(asked, alice, post):
    let_device_in(alice, asked["user_code"])
    Client.objects.filter(client_id="console").update(allowed_scopes="api:read", default_scopes="")
    clients.cache.forget()

    assert poll(post, asked["device_code"]).body["scope"] == "api:read"


def test_a_client_that_lost_everything_since_gets_nothing(asked, alice, post):
    let_device_in(alice, asked["user_code"])
    Client.objects.filter(client_id="console").update(allowed_scopes="", default_scopes="")
    clients.cache.forget()

    assert poll(post, asked["device_code"]).error == "invalid_grant"


def test_a_sign_in_asks_the_database_so_often(warm, asked, alice, post, count_statements):
    let_device_in(alice, asked["user_code"])

    with count_statements() as statements:
        assert poll(post, asked["device_code"]).status == 200

    assert len(statements) == 5  # the code, the roles, the session, the code is used, the audit


def test_codes_made_under_the_key_before_are_still_found(asked, alice, post, settings):
    settings.TOKEN_KEYS = ("another key " * 4, *settings.TOKEN_KEYS)

    let_device_in(alice, asked["user_code"])

    assert poll(post, asked["device_code"]).status == 200


def test_a_user_code_that_somebody_has_is_drawn_anew(asked, post, monkeypatch):
    drawn = iter([asked["user_code"], asked["user_code"], "BBBB-BBBB"])
    monkeypatch.setattr(device_codes.user_codes, "draw", lambda: next(drawn))

    assert ask(post).body["user_code"] == "BBBB-BBBB"
    assert DeviceCode.objects.count() == 2


@pytest.mark.spec("RFC 8628", "4", "device_authorization_endpoint")
def test_clients_find_the_endpoint_by_the_issuer_alone(client, signing_key, settings):
    document = client.get("/.well-known/oauth-authorization-server").json()

    assert document["device_authorization_endpoint"] == f"{settings.JWT_ISSUER}/oauth/device_authorization"
    assert DEVICE_CODE in document["grant_types_supported"]


def test_codes_go_a_day_after_they_have_expired(asked, later):
    later(hours=24)
    assert device_codes.prune() == 0

    later(minutes=11)

    assert (device_codes.prune(), device_codes.prune(), DeviceCode.objects.count()) == (1, 0, 0)
