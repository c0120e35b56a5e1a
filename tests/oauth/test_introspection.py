"""POST /oauth/introspect: what a service is told of a token, and of which tokens it is told nothing (RFC 7662)."""

import json
import logging
import uuid
from datetime import UTC, datetime

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.test import Client as Browser

from accounts import clock
from accounts.models import AuditEvent, Refusal, User
from oauth import clients, keys, refresh_tokens, sessions
from oauth.models import Client, Session, SigningKey
from tests.hostile.test_verifiers import ABSENT, FORGERIES, MISTAKEN, jwks, mallorys_key, material, rs256
from tests.oauth.test_clients import basic
from tests.oauth.test_verify import _record_of_its_own

__all__ = ["_record_of_its_own", "jwks", "mallorys_key", "material"]

INACTIVE = {"active": False}


def credentials(made):
    return {"HTTP_AUTHORIZATION": basic(made.client.client_id, made.secret_value)}


@pytest.fixture
def service(make_client):
    """An API of the server's own audience that asks before it believes a token."""
    return make_client("service", is_public=False, grant_types=("client_credentials",), may_introspect=True)


@pytest.fixture
def portal(make_client):
    """A confidential application with users of its own."""
    return make_client("portal", is_public=False, may_introspect=True)


@pytest.fixture
def introspect(post, service):
    def ask(token, *, by=service, **form):
        return post({"token": token} | form, path="/oauth/introspect", **credentials(by))

    return ask


@pytest.fixture
def at_portal(sign_in, portal):
    """Alice, signed in to the portal."""
    return sign_in(client_id="portal", client_secret=portal.secret_value)


def change_client(client_id, **fields):
    Client.objects.filter(client_id=client_id).update(**fields)
    clients.cache.forget()


def everything_stored():
    return [list(model.objects.order_by("pk").values()) for model in (Session, AuditEvent, User)]


def assert_inactive(answer):
    assert (answer.status, answer.response.content) == (200, b'{"active":false}')
    assert answer.response["Cache-Control"] == "no-store"


# --- What is told --------------------------------------------------------------------------------


@pytest.mark.spec("RFC 7662", "2.2", "the members of an introspection response")
def test_of_a_users_access_token_the_service_is_told_whose_it_is_and_what_it_may(introspect, signed_in, claims_of, alice):
    claims = claims_of(signed_in)

    answer = introspect(signed_in.body["access_token"])

    assert answer.status == 200
    assert answer.body == {
        "active": True,
        "iss": "http://localhost:8003",
        "sub": str(alice.pk),
        "client_id": "editor",
        "username": "alice",
        "scope": "api:read api:write",
        "aud": "codelab-api",
        "exp": claims["exp"],
        "iat": claims["iat"],
        "nbf": claims["nbf"],
        "jti": claims["jti"],
        "sid": claims["sid"],
        "token_type": "Bearer",
    }
    assert answer.response["Content-Type"] == "application/json"
    assert (answer.response["Cache-Control"], answer.response["Pragma"]) == ("no-store", "no-cache")


def test_of_a_clients_own_token_it_is_told_neither_a_user_nor_a_session(introspect, post, robot):
    token = post({"grant_type": "client_credentials"}, **credentials(robot)).body["access_token"]

    body = introspect(token).body

    members = {"active", "iss", "sub", "client_id", "scope", "aud", "exp", "iat", "nbf", "jti", "token_type"}
    assert (set(body), body["active"], body["sub"], body["client_id"]) == (members, True, "robot", "robot")


def test_a_client_is_told_of_its_own_refresh_token(introspect, at_portal, portal, alice):
    session = Session.objects.get()

    body = introspect(at_portal.body["refresh_token"], by=portal).body

    assert body == {
        "active": True,
        "iss": "http://localhost:8003",
        "sub": str(alice.pk),
        "client_id": "portal",
        "username": "alice",
        "scope": "api:read api:write",
        "exp": int(session.expires_at.timestamp()),
        "iat": int(session.refreshed_at.timestamp()),
        "sid": str(session.pk),
    }
    assert datetime.fromtimestamp(body["exp"], UTC) > clock.now()


def test_the_scope_of_a_refresh_token_is_what_the_client_may_have_today(introspect, at_portal, portal):
    change_client("portal", allowed_scopes="api:read api:other", default_scopes="api:read")

    assert introspect(at_portal.body["refresh_token"], by=portal).body["scope"] == "api:read"


@pytest.mark.checklist(72)
@pytest.mark.spec("RFC 7662", "2.1", "the authorization server MUST extend its search across all of its supported token types")
@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "id_token", "zzz", ""])
def test_a_hint_decides_nothing(introspect, at_portal, portal, hint):
    access = introspect(at_portal.body["access_token"], by=portal, token_type_hint=hint).body
    refresh = introspect(at_portal.body["refresh_token"], by=portal, token_type_hint=hint).body

    assert (access["active"], access["token_type"]) == (True, "Bearer")
    assert (refresh["active"], "token_type" in refresh) == (True, False)


# --- To whom -------------------------------------------------------------------------------------


@pytest.mark.spec("RFC 7662", "4", "a resource server learns of the tokens that are meant for it")
def test_a_token_for_an_audience_that_the_caller_does_not_serve_is_not_active_to_it(introspect, sign_in, editor, make_client):
    change_client("editor", audience="billing-api")
    token = sign_in().body["access_token"]
    billing = make_client(
        "billing", is_public=False, grant_types=("client_credentials",), may_introspect=True, served_audiences="ledger-api billing-api"
    )

    assert_inactive(introspect(token))
    assert introspect(token, by=billing).body["aud"] == "billing-api"


def test_who_serves_audiences_of_its_own_does_not_serve_the_servers(introspect, signed_in):
    change_client("service", served_audiences="billing-api")

    assert_inactive(introspect(signed_in.body["access_token"]))


@pytest.mark.parametrize("served", ["codelab", "codelab-api-2", "x-codelab-api", "Codelab-API"])
def test_an_audience_is_compared_as_a_whole(introspect, signed_in, served):
    change_client("service", served_audiences=served)

    assert_inactive(introspect(signed_in.body["access_token"]))


def test_a_client_is_told_of_its_own_tokens_whatever_audience_they_are_for(introspect, sign_in, portal):
    change_client("portal", audience="billing-api", served_audiences="ledger-api")
    token = sign_in(client_id="portal", client_secret=portal.secret_value).body["access_token"]

    assert introspect(token, by=portal).body["aud"] == "billing-api"
    assert_inactive(introspect(token))


@pytest.mark.checklist(67)
def test_a_refresh_token_is_not_active_to_another_client(introspect, signed_in, at_portal, portal):
    assert_inactive(introspect(signed_in.body["refresh_token"]))
    assert_inactive(introspect(at_portal.body["refresh_token"]))
    assert_inactive(introspect(signed_in.body["refresh_token"], by=portal))


def test_a_client_without_may_introspect_is_refused(post, robot, signed_in):
    answer = post({"token": signed_in.body["access_token"]}, path="/oauth/introspect", **credentials(robot))

    assert (answer.status, answer.error) == (400, "unauthorized_client")
    assert "endpoint" in answer.body["error_description"]


@pytest.mark.checklist(26)
@pytest.mark.spec("RFC 7662", "2.1", "the endpoint MUST require some form of authorization")
def test_who_cannot_prove_to_be_a_client_is_refused(post, signed_in, service):
    change_client("editor", may_introspect=True)

    def ask(form, **headers):
        answer = post({"token": signed_in.body["access_token"]} | form, path="/oauth/introspect", **headers)
        assert (answer.status, answer.error) == (401, "invalid_client"), answer.body
        assert answer.response.has_header("WWW-Authenticate") == bool(headers)

    ask({})
    ask({"client_id": "service"})
    ask({"client_id": "service", "client_secret": "wrong"})
    ask({"client_id": "nobody", "client_secret": "wrong"})
    ask({"client_id": "editor"})
    ask({}, HTTP_AUTHORIZATION=basic("editor", ""))
    ask({}, HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}")


def test_the_secret_may_come_in_the_body(post, service, signed_in):
    form = {"token": signed_in.body["access_token"], "client_id": "service", "client_secret": service.secret_value}

    assert post(form, path="/oauth/introspect").body["active"] is True


def test_create_client_makes_one_that_serves_audiences_of_its_own(db):
    call_command(
        "create_client", "billing", "--grant-type", "client_credentials", "--scope", "api:read", "--may-introspect",
        "--serves", "billing-api ledger-api",
    )  # fmt: skip

    billing = Client.objects.get(client_id="billing")
    assert (billing.may_introspect, billing.served_audience_set) == (True, {"billing-api", "ledger-api"})


@pytest.mark.parametrize(
    "audiences", ["billing-api  ledger-api", " billing-api", "billing-api\nledger-api", "bílling-api", "a\x00b", "a\x1fb"]
)
def test_an_audience_that_no_token_could_have_is_not_served(db, audiences):
    with pytest.raises(CommandError, match="served_audiences"):
        call_command("create_client", "billing", "--grant-type", "client_credentials", "--scope", "api:read", "--serves", audiences)

    assert not Client.objects.exists()


def test_of_the_default_clients_the_services_may_introspect_what_is_meant_for_the_servers_audience(signing_key):
    call_command("bootstrap")

    [internal] = Client.objects.filter(may_introspect=True)
    assert (internal.client_id, internal.served_audience_set) == ("codelab-internal", {"codelab-api"})


# --- What is not active --------------------------------------------------------------------------


@pytest.mark.checklist(59)
def test_after_reuse_neither_token_is_active(introspect, at_portal, portal, refresh):
    secret = portal.secret_value
    spent = at_portal.body["refresh_token"]
    live = refresh(spent, client_id="portal", client_secret=secret).body
    assert introspect(live["access_token"]).body["active"] is True

    refresh(spent, client_id="portal", client_secret=secret)

    assert_inactive(introspect(live["access_token"]))
    assert_inactive(introspect(at_portal.body["access_token"]))
    assert_inactive(introspect(live["refresh_token"], by=portal))


@pytest.mark.checklist(59)
def test_asking_about_a_spent_refresh_token_is_no_reuse(introspect, at_portal, portal, refresh):
    secret = portal.secret_value
    live = refresh(at_portal.body["refresh_token"], client_id="portal", client_secret=secret).body["refresh_token"]
    before = everything_stored()

    assert_inactive(introspect(at_portal.body["refresh_token"], by=portal))

    assert everything_stored() == before
    assert introspect(live, by=portal).body["active"] is True
    assert refresh(live, client_id="portal", client_secret=secret).status == 200


def test_a_refresh_token_ahead_of_its_session_is_not_active(introspect, at_portal, portal):
    token = refresh_tokens.decode(at_portal.body["refresh_token"], keys=django_settings.TOKEN_KEYS)
    ahead = refresh_tokens.encode(token.successor(), keys=django_settings.TOKEN_KEYS)

    assert_inactive(introspect(ahead, by=portal))


def test_a_refresh_token_of_a_client_that_may_not_refresh_is_not_active(introspect, at_portal, portal):
    change_client("portal", grant_types=["password"])

    assert_inactive(introspect(at_portal.body["refresh_token"], by=portal))
    assert introspect(at_portal.body["access_token"], by=portal).body["active"] is True


@pytest.mark.checklist(59, 68)
@pytest.mark.parametrize(
    "kill",
    [
        lambda: sessions.revoke(Session.objects.get().pk, reason="test"),
        lambda: Session.objects.update(expires_at=clock.now()),
        lambda: User.objects.update(is_active=False),
        lambda: User.objects.update(session_epoch=9),
        lambda: User.objects.all().delete(),
    ],
    ids=["revoked", "expired", "user disabled", "epoch raised", "user deleted"],
)
def test_no_token_of_a_session_that_ended_is_active(introspect, at_portal, portal, kill):
    assert introspect(at_portal.body["access_token"]).body["active"] is True
    assert introspect(at_portal.body["refresh_token"], by=portal).body["active"] is True

    kill()

    assert_inactive(introspect(at_portal.body["access_token"]))
    assert_inactive(introspect(at_portal.body["refresh_token"], by=portal))


def test_no_token_of_a_disabled_client_is_active(introspect, signed_in, post, robot):
    own = post({"grant_type": "client_credentials"}, **credentials(robot)).body["access_token"]
    assert introspect(own).body["active"] is True

    Client.objects.exclude(client_id="service").update(is_active=False)  # the cache is as it was

    assert_inactive(introspect(own))
    assert_inactive(introspect(signed_in.body["access_token"]))


def test_an_expired_access_token_is_not_active(introspect, signed_in, later):
    later(seconds=961)

    assert_inactive(introspect(signed_in.body["access_token"]))


@pytest.mark.checklist(93)
def test_a_token_of_a_revoked_signing_key_is_not_active(introspect, signed_in):
    SigningKey.objects.update(revoked_at=clock.now())
    keys.ring.forget()

    assert_inactive(introspect(signed_in.body["access_token"]))


@pytest.mark.checklist(73)
@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: f"{t}=", str.upper, str.swapcase, lambda t: t * 1000, lambda t: "A" * 52])
def test_another_spelling_of_a_refresh_token_is_not_active(introspect, at_portal, portal, change):
    assert_inactive(introspect(change(at_portal.body["refresh_token"]), by=portal))


@pytest.mark.checklist(72, 83)
def test_nothing_forged_or_mistaken_for_an_access_token_is_active(introspect, material):
    makers = FORGERIES | {name: mistaken.make for name, mistaken in MISTAKEN.items()}
    assert introspect(material.token).body["active"] is True

    taken = {name for name, make in makers.items() if introspect(make(material)).response.content != b'{"active":false}'}

    assert taken == set()


@pytest.mark.checklist(83)
def test_what_only_our_key_can_sign_of_no_session_and_no_client_is_not_active(introspect, material):
    of_no_session = [{"sid": value} for value in ("x", "", None, 7, [], str(uuid.uuid4()))]
    of_no_session += [{"sub": value} for value in ("mallory", str(uuid.uuid4()))]
    of_no_client = [{"sid": ABSENT} | more for more in ({}, {"sub": "editor-2"}, {"sub": "nobody", "client_id": "nobody"})]

    for claims in of_no_session + of_no_client:
        assert_inactive(introspect(material.forge(rs256(material.ours), claims=claims)))


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "..", "{}", "x" * 60_000, "0"])
def test_what_is_no_token_is_not_active(introspect, token):
    assert_inactive(introspect(token))


def test_why_a_token_is_not_active_is_in_the_debug_log_without_the_token(introspect, signed_in, caplog):
    sessions.revoke(Session.objects.get().pk, reason="test")

    with caplog.at_level(logging.DEBUG, logger="oauth.introspection"):
        assert_inactive(introspect(signed_in.body["access_token"]))

    [record] = [record for record in caplog.records if record.name == "oauth.introspection"]
    assert (record.levelname, record.reason, record.caller) == ("DEBUG", "session ended", "service")
    assert signed_in.body["access_token"] not in str(record.__dict__)
    assert Refusal.objects.count() == 0


# --- Requests that are refused -------------------------------------------------------------------


@pytest.mark.parametrize("form", [{"token": ""}, {"token_type_hint": "access_token"}])
def test_a_request_without_a_token_is_malformed(post, service, form):
    answer = post(form, path="/oauth/introspect", **credentials(service))

    assert (answer.status, answer.error) == (400, "invalid_request")
    assert "token" in answer.body["error_description"]


@pytest.mark.checklist(2, 3, 12)
@pytest.mark.parametrize(
    ("body", "path"), [(b"token=a&token=b", ""), (b"token=a%00b", ""), (b"token=%ff", ""), (b"token=a", "?token=a"), (b"token=a", "?x=1")]
)
def test_a_request_is_read_as_strictly_as_one_for_a_token(post, service, body, path):
    answer = post(body, path=f"/oauth/introspect{path}", **credentials(service))

    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.checklist(22)
def test_two_ways_of_client_authentication_are_refused(post, service):
    form = {"token": "x", "client_id": "service", "client_secret": service.secret_value}

    assert post(form, path="/oauth/introspect", **credentials(service)).error == "invalid_request"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_with_what_is_allowed(method):
    response = Browser().generic(method, "/oauth/introspect", b"", content_type="application/x-www-form-urlencoded")

    assert (response.status_code, response["Allow"], response["Content-Type"]) == (405, "POST", "application/json")


def test_a_refusal_is_on_record_with_what_was_sent_and_no_token(post, robot, signed_in):
    form = {"token": signed_in.body["access_token"], "token_type_hint": "access_token"}

    answer = post(form, path="/oauth/introspect", **credentials(robot))

    refusal = Refusal.objects.get(pk=answer.body["error_id"])
    assert (refusal.error, refusal.reason, refusal.client_id) == ("unauthorized_client", "may not introspect", "robot")
    assert (refusal.shape["path"], refusal.shape["parameters"]) == ("/oauth/introspect", ["token", "token_type_hint"])
    assert signed_in.body["access_token"] not in json.dumps(refusal.shape)


def test_a_store_that_is_away_makes_no_token_inactive(introspect, signed_in, service):
    introspect(signed_in.body["access_token"])  # the client is in the cache

    def fail(execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(fail):
        answer = introspect(signed_in.body["access_token"])

    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert int(answer.response["Retry-After"]) > 0
