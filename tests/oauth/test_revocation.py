"""POST /oauth/revoke: a client ends its own sessions, and nobody else's (RFC 7009)."""

import secrets

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection
from django.test import Client as Browser

from accounts import clock
from accounts.models import AuditEvent, Refusal, User
from oauth import clients, introspection, refresh_tokens, revocation, session_rows, sessions
from oauth.models import Client, Session
from oauth.refresh_tokens import RefreshToken
from tests.hostile.test_verifiers import FORGERIES, MISTAKEN, Material, jwks, mallorys_key
from tests.oauth.test_clients import basic
from tests.oauth.test_races import ORIGIN, at_once
from tests.oauth.test_verify import _record_of_its_own

__all__ = ["_record_of_its_own", "at_once", "jwks", "mallorys_key"]

FOREIGN = "session:refresh_token:presented_by_another_client"
REVOKED = "session:revocation:succeeded"


@pytest.fixture
def revoke(post):
    """As the editor, or as whoever the test says."""

    def send(token, *, client_id="editor", **form):
        headers = {name: form.pop(name) for name in [*form] if name.isupper()}
        return post({"token": token, "client_id": client_id} | form, path="/oauth/revoke", **headers)

    return send


@pytest.fixture
def portal(make_client):
    """A confidential application with users of its own."""
    return make_client("portal", is_public=False)


@pytest.fixture
def as_portal(portal):
    return {"client_id": "portal", "client_secret": portal.secret_value}


@pytest.fixture
def at_portal(sign_in, as_portal):
    """Alice, signed in to the portal."""
    return sign_in(**as_portal)


def assert_done(answer):
    """The one answer, whatever was or was not done."""
    assert (answer.status, answer.response.content) == (200, b"{}")
    assert answer.response["Content-Type"] == "application/json"
    assert (answer.response["Cache-Control"], answer.response["Pragma"]) == ("no-store", "no-cache")


def assert_untouched():
    assert Session.objects.get().revoked_at is None
    assert events() == []


def events():
    return list(AuditEvent.objects.filter(event__startswith="session:").order_by("id").values_list("event", flat=True))


# --- By refresh token ----------------------------------------------------------------------------


@pytest.mark.checklist(75)
@pytest.mark.spec("RFC 7009", "2.1", "the authorization server SHOULD also invalidate all access tokens based on the same grant")
def test_revoking_a_refresh_token_ends_the_session_and_every_token_of_it(revoke, signed_in, refresh, client):
    headers = {"HTTP_AUTHORIZATION": f"Bearer {signed_in.body['access_token']}"}
    assert client.get("/api/v1/me", **headers).status_code == 200

    assert_done(revoke(signed_in.body["refresh_token"]))

    assert Session.objects.get().revoked_reason == "revoked_by_client"
    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert client.get("/api/v1/me", **headers).status_code == 401
    assert client.get("/oauth/verify", **headers).status_code == 401


@pytest.mark.checklist(75)
def test_the_end_is_recorded_once_with_the_client_that_asked_for_it(revoke, signed_in):
    session = Session.objects.get()

    for _ in range(3):
        assert_done(revoke(signed_in.body["refresh_token"], REMOTE_ADDR="198.51.100.7", HTTP_USER_AGENT="Editor/2"))

    [event] = AuditEvent.objects.filter(event__startswith="session:")
    assert (event.event, event.target, event.actor_id) == (REVOKED, str(session.pk), None)
    assert (event.client_id, event.address, event.user_agent) == ("editor", "198.51.100.7", "Editor/2")
    assert event.detail == {"by": "client"}


@pytest.mark.checklist(75)
@pytest.mark.parametrize("age", [0, 1, 3])
def test_a_refresh_token_of_any_generation_ends_the_session(revoke, signed_in, refresh, age):
    tokens = [signed_in.body["refresh_token"]]
    for _ in range(3):
        tokens.append(refresh(tokens[-1]).body["refresh_token"])

    assert_done(revoke(tokens[age]))

    assert refresh(tokens[-1]).error == "invalid_grant"
    assert events() == [REVOKED]


def test_other_sessions_of_the_user_go_on(revoke, signed_in, sign_in, refresh):
    other = sign_in()

    assert_done(revoke(signed_in.body["refresh_token"]))

    assert refresh(other.body["refresh_token"]).status == 200


@pytest.mark.checklist(63)
def test_a_retry_with_its_key_does_not_revive_what_was_revoked(revoke, signed_in, refresh):
    live = refresh(signed_in.body["refresh_token"], key="a-key-that-no-thief-knows")

    assert_done(revoke(live.body["refresh_token"]))

    assert refresh(signed_in.body["refresh_token"], key="a-key-that-no-thief-knows").error == "invalid_grant"


@pytest.mark.checklist(63)
def test_the_overlap_does_not_revive_what_was_revoked(revoke, signed_in, refresh, settings):
    settings.REFRESH_OVERLAP_SECONDS = 10
    live = refresh(signed_in.body["refresh_token"])

    assert_done(revoke(live.body["refresh_token"]))

    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


def test_a_session_whose_user_is_disabled_is_ended_for_good(revoke, signed_in, refresh):
    User.objects.update(is_active=False)

    assert_done(revoke(signed_in.body["refresh_token"]))
    User.objects.update(is_active=True)

    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"


@pytest.mark.checklist(67, 75)
@pytest.mark.spec("RFC 7009", "2.1", "whether the token was issued to the client making the revocation request")
def test_another_clients_refresh_token_ends_nothing_and_is_recorded(revoke, signed_in, refresh, as_portal, make_client, alice):
    make_client("mallorys-app")
    token = signed_in.body["refresh_token"]

    assert_done(revoke(token, **as_portal))
    assert_done(revoke(token, client_id="mallorys-app"))

    assert refresh(token).status == 200
    assert events() == [FOREIGN, FOREIGN]
    event = AuditEvent.objects.filter(event=FOREIGN).first()
    assert (event.actor_id, event.target, event.client_id) == (alice.pk, str(Session.objects.get().pk), "mallorys-app")
    assert event.detail == {"door": "revocation", "generation": 0}


@pytest.mark.checklist(75)
def test_a_refresh_token_of_a_session_that_never_was_is_answered_alike(revoke, signed_in):
    token = RefreshToken(secrets.token_bytes(16), 0)

    assert_done(revoke(refresh_tokens.encode(token, keys=django_settings.TOKEN_KEYS)))

    assert_untouched()


@pytest.mark.checklist(75)
def test_a_session_that_has_expired_is_left_as_it_is(revoke, signed_in):
    Session.objects.update(expires_at=clock.now())

    assert_done(revoke(signed_in.body["refresh_token"]))

    assert_untouched()


@pytest.mark.checklist(73, 75)
@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: f"{t}=", str.upper, str.swapcase, lambda t: t * 1000, lambda t: "A" * 52])
def test_another_spelling_of_a_refresh_token_ends_nothing(revoke, signed_in, change):
    assert_done(revoke(change(signed_in.body["refresh_token"])))

    assert_untouched()


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "zzz", ""])
def test_a_hint_decides_nothing(revoke, at_portal, sign_in, as_portal, hint):
    assert_done(revoke(at_portal.body["refresh_token"], token_type_hint=hint, **as_portal))
    assert_done(revoke(sign_in(**as_portal).body["access_token"], token_type_hint=hint, **as_portal))

    assert events() == [REVOKED, REVOKED]


# --- By access token -----------------------------------------------------------------------------


@pytest.mark.checklist(75)
def test_an_access_token_ends_the_session_of_its_own_confidential_client(revoke, at_portal, refresh, as_portal):
    assert_done(revoke(at_portal.body["access_token"], **as_portal))

    assert refresh(at_portal.body["refresh_token"], **as_portal).error == "invalid_grant"
    assert AuditEvent.objects.get(event=REVOKED).client_id == "portal"


def test_an_access_token_for_another_audience_is_the_clients_own_all_the_same(revoke, sign_in, as_portal):
    Client.objects.filter(client_id="portal").update(audience="billing-api")
    clients.cache.forget()

    assert_done(revoke(sign_in(**as_portal).body["access_token"], **as_portal))

    assert events() == [REVOKED]


@pytest.mark.checklist(75)
def test_an_access_token_of_a_public_client_ends_nothing(revoke, signed_in):
    assert_done(revoke(signed_in.body["access_token"]))

    assert_untouched()


@pytest.mark.checklist(67, 75)
def test_another_clients_access_token_ends_nothing(revoke, signed_in, as_portal, make_client, sign_in):
    other = make_client("other", is_public=False)
    at_other = sign_in(client_id="other", client_secret=other.secret_value)

    assert_done(revoke(signed_in.body["access_token"], **as_portal))
    assert_done(revoke(at_other.body["access_token"], **as_portal))

    assert Session.objects.filter(revoked_at=None).count() == 2
    assert events() == []


@pytest.mark.checklist(75)
def test_an_expired_access_token_ends_nothing(revoke, at_portal, as_portal, later):
    later(seconds=961)

    assert_done(revoke(at_portal.body["access_token"], **as_portal))

    assert_untouched()


def test_a_clients_own_token_has_no_session_to_end(revoke, post, robot, signed_in):
    form = {"client_id": "robot", "client_secret": robot.secret_value}
    own = post({"grant_type": "client_credentials"} | form).body["access_token"]

    assert_done(revoke(own, **form))

    assert_untouched()


@pytest.mark.checklist(72, 83)
def test_nothing_forged_ends_a_session(revoke, at_portal, as_portal, jwks, mallorys_key, key_pair, client):
    material = Material(at_portal.body["access_token"], at_portal.body["refresh_token"], jwks, mallorys_key, key_pair)
    for_another_audience = {"another aud", "aud a prefix of ours", "aud that begins as ours"}  # the client's may be any
    forged = [make for name, make in FORGERIES.items() if name != "a refresh token"]
    forged += [mistaken.make for name, mistaken in MISTAKEN.items() if name not in for_another_audience]

    for make in forged:
        assert_done(revoke(make(material), **as_portal))

    assert_untouched()


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "..", "{}", "x" * 60_000, "0"])
def test_what_is_no_token_is_answered_alike(revoke, signed_in, as_portal, token):
    assert_done(revoke(token))
    assert_done(revoke(token, **as_portal))

    assert_untouched()


# --- The client, the request ---------------------------------------------------------------------


@pytest.mark.checklist(26, 27)
@pytest.mark.parametrize(
    "form",
    [
        {"client_id": "portal"},
        {"client_id": "portal", "client_secret": "wrong"},
        {"client_id": "editor", "client_secret": "x"},
        {"client_id": "nobody"},
        {"client_id": ""},
        {"client_id": "", "HTTP_AUTHORIZATION": basic("portal", "wrong")},
    ],
    ids=str,
)
def test_who_is_not_the_client_ends_nothing(revoke, at_portal, form):
    answer = revoke(at_portal.body["refresh_token"], **form)

    assert (answer.status, answer.error) == (401, "invalid_client")
    assert answer.response.has_header("WWW-Authenticate") == ("HTTP_AUTHORIZATION" in form)
    assert_untouched()


def test_a_client_authenticates_by_basic_too(revoke, at_portal, portal):
    assert_done(revoke(at_portal.body["refresh_token"], client_id="", HTTP_AUTHORIZATION=basic("portal", portal.secret_value)))

    assert events() == [REVOKED]


@pytest.mark.parametrize("form", [{"token": ""}, {"token_type_hint": "access_token"}])
def test_a_request_without_a_token_is_malformed(post, editor, form):
    answer = post({"client_id": "editor"} | form, path="/oauth/revoke")

    assert (answer.status, answer.error) == (400, "invalid_request")
    assert "token" in answer.body["error_description"]


@pytest.mark.checklist(2, 3)
@pytest.mark.parametrize(("more", "query"), [("&token=x", ""), ("&client_id=editor", ""), ("", "?x=1")])
def test_a_request_is_read_as_strictly_as_one_for_a_token(post, signed_in, more, query):
    body = f"token={signed_in.body['refresh_token']}&client_id=editor{more}"

    assert post(body.encode(), path=f"/oauth/revoke{query}").error == "invalid_request"
    assert_untouched()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_with_what_is_allowed(method):
    response = Browser().generic(method, "/oauth/revoke", b"", content_type="application/x-www-form-urlencoded")

    assert (response.status_code, response["Allow"], response["Content-Type"]) == (405, "POST", "application/json")


def test_a_refusal_is_on_record(revoke, at_portal):
    answer = revoke(at_portal.body["refresh_token"], client_id="portal")

    refusal = Refusal.objects.get(pk=answer.body["error_id"])
    assert (refusal.error, refusal.reason, refusal.client_id) == ("invalid_client", "no secret", "portal")
    assert (refusal.shape["path"], refusal.shape["parameters"]) == ("/oauth/revoke", ["client_id", "token"])


# --- A store that fails --------------------------------------------------------------------------


@pytest.mark.checklist(75)
@pytest.mark.spec("RFC 7009", "2.2.1", "503: the client must assume the token still exists and may retry")
@pytest.mark.parametrize("failing", ["UPDATE", "INSERT"])
def test_a_store_that_fails_is_never_answered_with_success_and_the_retry_ends_the_session(revoke, signed_in, failing):
    def fail(execute, sql, params, many, context):
        if sql.lstrip().startswith(failing):
            raise OperationalError("disk full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        answer = revoke(signed_in.body["refresh_token"])

    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert int(answer.response["Retry-After"]) > 0
    assert_untouched()
    assert_done(revoke(signed_in.body["refresh_token"]))
    assert events() == [REVOKED]


# --- At once -------------------------------------------------------------------------------------


@pytest.mark.checklist(75)
@pytest.mark.django_db(transaction=True)
def test_of_parallel_revocations_one_is_recorded(signed_in, editor, at_once):
    token = signed_in.body["refresh_token"]

    at_once(*[lambda: revocation.revoke(token, client=editor, origin=ORIGIN, now=clock.now())] * 8)

    assert Session.objects.get().revoked_reason == "revoked_by_client"
    assert events() == [REVOKED]


@pytest.mark.checklist(63, 75)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_round", range(5))
def test_a_refresh_beside_a_revocation_leaves_no_token_that_lives(signed_in, editor, at_once, _round):
    token = signed_in.body["refresh_token"]

    refreshed, _ = at_once(
        lambda: sessions.refresh(token, client=editor, scope="", idempotency_key="", origin=ORIGIN),
        lambda: revocation.revoke(token, client=editor, origin=session_rows.Origin(None, ""), now=clock.now()),
    )

    assert Session.objects.get().revoked_reason == "revoked_by_client"
    newest = getattr(refreshed, "refresh_token_value", token)
    assert introspection.introspect(newest, caller=editor, now=clock.now()) == {"active": False}
    with pytest.raises(sessions.InvalidGrant):
        sessions.refresh(newest, client=editor, scope="", idempotency_key="", origin=ORIGIN)
