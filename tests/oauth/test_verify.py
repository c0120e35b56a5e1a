"""GET /oauth/verify: what a proxy is told before it lets a request through."""

import uuid

import pytest
from django.db import OperationalError, connection

from accounts import clock, refusals
from accounts.models import Refusal, User
from oauth import clients, sessions
from oauth.models import Client, Session
from tests.hostile.test_verifiers import ABSENT, FORGERIES, MISTAKEN, jwks, mallorys_key, material, rs256
from tests.oauth.test_clients import basic

__all__ = ["jwks", "mallorys_key", "material"]

CHALLENGE = 'Bearer realm="authserver"'
RESOURCE_METADATA = 'resource_metadata="http://localhost:8003/.well-known/oauth-protected-resource"'
WITH_ERROR = f'{CHALLENGE}, error="invalid_token", {RESOURCE_METADATA}'


@pytest.fixture(autouse=True)
def _record_of_its_own(monkeypatch):
    """A hundred refusals here use up this process's allowance; the other tests keep theirs."""
    monkeypatch.setattr(refusals, "allowance", refusals.Allowance())


@pytest.fixture
def verify(client, signing_key):
    """As a proxy asks, with the token of an answer or with a header as it stands."""

    def ask(token=None, *, path="/oauth/verify", method="GET", **headers):
        if token is not None:
            headers["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client.generic(method, path, **headers)

    return ask


@pytest.fixture
def own_token(post, robot):
    """The robot's own."""
    return post({"grant_type": "client_credentials"}, HTTP_AUTHORIZATION=basic("robot", robot.secret_value)).body["access_token"]


def assert_let_through(response, **expected):
    assert (response.status_code, response.content) == (204, b"")
    assert {name: response[f"X-Auth-{name.title()}"] for name in expected} == expected
    assert response["Cache-Control"] == "no-store"
    assert not response.has_header("Content-Type")


def assert_refused(response, *, challenge=WITH_ERROR):
    assert (response.status_code, response["WWW-Authenticate"]) == (401, challenge)
    assert (response["Content-Type"], response["Cache-Control"]) == ("application/json", "no-store")
    assert response.json()["error"] == "invalid_token"
    assert len(response.json()["error_id"]) == 16
    assert not [name for name in response.headers if name.startswith("X-Auth-")]


# --- Let through ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_of_a_live_token_the_proxy_is_told_whose_it_is_and_what_it_may(verify, signed_in, alice, method):
    response = verify(signed_in.body["access_token"], method=method)

    assert_let_through(response, subject=str(alice.pk), scope="api:read api:write", client="editor")


def test_a_clients_own_token_is_let_through_in_its_name(verify, own_token):
    assert_let_through(verify(own_token), subject="robot", scope="api:read api:write", client="robot")


@pytest.mark.spec("RFC 9110", "11.1", "the scheme is case-insensitive")
@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_read_whatever_its_case(verify, signed_in, scheme):
    assert verify(HTTP_AUTHORIZATION=f"{scheme} {signed_in.body['access_token']}").status_code == 204


# --- Refused -------------------------------------------------------------------------------------


@pytest.mark.checklist(86)
@pytest.mark.spec("RFC 6750", "3.1", "no authentication information: no error code")
@pytest.mark.parametrize("headers", [{}, {"HTTP_AUTHORIZATION": ""}, {"HTTP_AUTHORIZATION": basic("robot", "x")}])
def test_without_a_token_the_challenge_has_no_error_code_and_nothing_is_stored(verify, headers):
    assert_refused(verify(**headers), challenge=f"{CHALLENGE}, {RESOURCE_METADATA}")
    assert Refusal.objects.count() == 0


@pytest.mark.checklist(86)
@pytest.mark.spec("RFC 6750", "2.3", "the access token is not taken from the query")
@pytest.mark.parametrize("with_header", [False, True])
def test_a_token_in_the_query_string_is_refused_also_beside_a_good_one(verify, signed_in, with_header):
    token = signed_in.body["access_token"]

    response = verify(token if with_header else None, path=f"/oauth/verify?access_token={token}")

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert response["WWW-Authenticate"] == f'{CHALLENGE}, error="invalid_request"'


@pytest.mark.checklist(59, 68)
@pytest.mark.parametrize(
    "kill",
    [
        lambda: sessions.revoke(Session.objects.get().pk, reason="test"),
        lambda: Session.objects.update(expires_at=clock.now()),
        lambda: User.objects.update(is_active=False),
        lambda: User.objects.update(session_epoch=9),
        lambda: Client.objects.update(is_active=False),
        lambda: User.objects.all().delete(),
    ],
    ids=["revoked", "expired", "user disabled", "epoch raised", "client disabled", "user deleted"],
)
def test_a_token_whose_session_ended_is_refused_at_once(verify, signed_in, kill):
    token = signed_in.body["access_token"]
    assert verify(token).status_code == 204

    kill()

    assert_refused(verify(token))


def test_a_disabled_clients_own_token_is_refused_at_once(verify, own_token):
    Client.objects.update(is_active=False)  # the cache is as it was

    assert_refused(verify(own_token))


def test_an_expired_token_is_refused(verify, signed_in, later):
    later(seconds=961)

    assert_refused(verify(signed_in.body["access_token"]))


def test_a_token_for_another_audience_is_refused(verify, sign_in, editor):
    Client.objects.update(audience="billing-api")
    clients.cache.forget()

    assert_refused(verify(sign_in().body["access_token"]))


@pytest.mark.checklist(72, 83)
@pytest.mark.parametrize("name", [*FORGERIES, *MISTAKEN])
def test_nothing_forged_or_mistaken_for_an_access_token_is_let_through(verify, material, name):
    make = FORGERIES[name] if name in FORGERIES else MISTAKEN[name].make
    assert verify(material.token).status_code == 204

    assert_refused(verify(make(material)))


@pytest.mark.checklist(83)
def test_what_only_our_key_can_sign_of_no_session_and_no_client_is_refused(verify, material, own_token):
    of_no_session = [{"sid": value} for value in ("x", "", None, 7, [], str(uuid.uuid4()))]
    of_no_session += [{"sub": value} for value in ("mallory", str(uuid.uuid4()))]
    of_no_client = [{"sid": ABSENT} | more for more in ({}, {"sub": "robot"}, {"sub": "nobody", "client_id": "nobody"})]

    for claims in of_no_session + of_no_client:
        assert_refused(verify(material.forge(rs256(material.ours), claims=claims)))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_with_what_is_allowed(verify, signed_in, method):
    response = verify(signed_in.body["access_token"], method=method)

    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


def test_a_refusal_is_on_record_with_its_true_reason_and_whom_it_is_about(verify, signed_in, alice):
    sessions.revoke(Session.objects.get().pk, reason="test")

    response = verify(signed_in.body["access_token"])

    refusal = Refusal.objects.get(pk=response.json()["error_id"])
    assert (refusal.error, refusal.reason, refusal.client_id, refusal.user_id) == ("invalid_token", "session ended", "editor", alice.pk)
    assert (refusal.shape["path"], refusal.shape["parameters"]) == ("/oauth/verify", [])


def test_a_store_that_is_away_lets_nobody_through(verify, signed_in):
    token = signed_in.body["access_token"]
    verify(token)  # the keys are in memory

    def fail(execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(fail):
        response = verify(token)

    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    assert int(response["Retry-After"]) > 0
