"""A code is exchanged once, by its client, from its address, by who made the challenge, within a minute."""

import base64
import hashlib

import jwt
import pytest
from django.conf import settings as django_settings
from django.db.models import F
from django.test import Client as Browser
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts import clock
from accounts.models import AuditEvent, User
from oauth import authorization_codes, clients, keys
from oauth.authorization_codes import Exchange
from oauth.errors import OAuthError
from oauth.models import AuthorizationCode, Client, Session
from oauth.session_rows import Origin
from tests.browsers import REDIRECT_URI, Verifier, authorize, request_of, returned, sign_in
from tests.threads import at_once

SCOPES = "openid profile email roles api:read api:write offline_access"
ORIGIN = Origin(address="198.51.100.7", user_agent="Portal/1")


@pytest.fixture
def verifier():
    return Verifier()


@pytest.fixture
def portal(make_client):
    """A web app of our own: nobody is asked."""
    client = make_client(
        "portal", grant_types=("authorization_code", "refresh_token"), allowed_scopes=SCOPES, default_scopes="api:read"
    ).client
    Client.objects.filter(pk=client.pk).update(redirect_uris=REDIRECT_URI, skip_authorization=True)
    return Client.objects.get(pk=client.pk)


@pytest.fixture
def get_code(signing_key, portal, alice, verifier):
    """A code for the portal, as alice's browser brings it."""

    def get(**changes):
        browser = Browser()
        sign_in(browser, alice, methods=changes.pop("methods", ("password",)))
        return returned(authorize(browser, request_of(portal, verifier, **changes)))["code"]

    return get


@pytest.fixture
def exchange(post, verifier):
    def send(code, **changes):
        form = {
            "grant_type": "authorization_code",
            "client_id": "portal",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": verifier.value,
        } | changes
        return post({name: value for name, value in form.items() if value is not None})

    return send


@pytest.mark.spec("RFC 6749", "4.1.4", "the access token response")
def test_a_code_gives_a_session_with_what_was_allowed(get_code, exchange, claims_of, alice):
    answer = exchange(get_code(scope="api:read api:write"))

    claims, session = claims_of(answer), Session.objects.get()
    assert answer.status == 200, answer.body
    assert (claims["sub"], claims["scope"], claims["amr"]) == (str(alice.pk), "api:read api:write", ["pwd"])
    assert claims["roles"] == ["author", "reviewer"]
    assert claims["sid"] == str(session.pk)
    assert "id_token" not in answer.body
    assert "refresh_token" in answer.body
    assert AuditEvent.objects.get(event="session:authorization_code:redeemed").target == str(session.pk)


@pytest.mark.checklist(115)
@pytest.mark.spec("RFC 6749", "4.1.2", "a code used twice is refused, and what it gave is revoked")
def test_a_code_that_is_used_again_ends_the_session_that_it_made(get_code, exchange, refresh):
    code = get_code()
    first = exchange(code)

    again = exchange(code)

    assert again.error == "invalid_grant"
    assert Session.objects.get().revoked_reason == "authorization_code_reused"
    assert refresh(first.body["refresh_token"], client_id="portal").error == "invalid_grant"
    event = AuditEvent.objects.get(event="session:authorization_code:reused")
    assert (event.target, event.error_id) == (str(Session.objects.get().pk), again.body["error_id"])


@pytest.mark.checklist(115)
def test_reuse_is_known_long_after(get_code, exchange, later):
    code = get_code()
    exchange(code)
    later(hours=20)

    assert exchange(code).error == "invalid_grant"
    assert Session.objects.get().revoked_at is not None


@pytest.mark.checklist(115)
@pytest.mark.spec("RFC 6749", "4.1.2", "a code is short-lived")
def test_a_code_lives_for_a_minute(get_code, exchange, later):
    code = get_code()
    later(seconds=61)

    assert exchange(code).error == "invalid_grant"
    assert not Session.objects.exists()


@pytest.mark.checklist(115, 116)
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"code_verifier": "ü" * 43}, "invalid_grant"),
        ({"code_verifier": "x" * 129}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": "https://app.example/other"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"client_id": "editor"}, "unauthorized_client"),
    ],
)
def test_what_is_wrong_is_refused_and_loses_nothing(get_code, exchange, editor, changes, error):
    code = get_code()

    refused = exchange(**{"code": code} | changes)

    assert refused.error == error
    assert not Session.objects.exists()
    assert exchange(code).status == 200


@pytest.mark.checklist(115)
def test_a_code_is_its_own_clients_alone_and_a_stranger_does_not_spoil_it(get_code, exchange, make_client):
    make_client("other", grant_types=("authorization_code",))
    code = get_code()

    assert exchange(code, client_id="other").error == "invalid_grant"
    assert exchange(code).status == 200
    assert exchange(code, client_id="other").error == "invalid_grant"
    assert Session.objects.get().revoked_at is None


@pytest.mark.checklist(116)
@pytest.mark.spec("RFC 9700", "4.8.2", "a code_verifier without a code_challenge is refused")
def test_a_verifier_for_a_request_without_a_challenge_shows_a_downgrade(get_code, exchange, portal):
    Client.objects.filter(pk=portal.pk).update(require_pkce=False, client_type="confidential")
    clients.cache.forget()
    code = get_code(code_challenge=None, code_challenge_method=None)
    row = AuthorizationCode.objects.get()

    with pytest.raises(OAuthError) as refused:
        authorization_codes.redeem(Exchange(code, REDIRECT_URI, "x" * 43, ""), client=row.client, origin=ORIGIN)

    assert refused.value.error == "invalid_grant"
    assert authorization_codes.redeem(Exchange(code, REDIRECT_URI, "", ""), client=row.client, origin=ORIGIN).nonce == ""


def test_a_user_who_was_disabled_meanwhile_gets_nothing(get_code, exchange, alice):
    code = get_code()
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert exchange(code).error == "invalid_grant"
    assert not Session.objects.exists()


def test_nor_one_who_was_signed_out_everywhere(get_code, exchange, alice):
    code = get_code()
    User.objects.filter(pk=alice.pk).update(session_epoch=F("session_epoch") + 1)

    assert exchange(code).error == "invalid_grant"


def test_a_stolen_database_holds_no_code(get_code):
    code = get_code()

    row = AuthorizationCode.objects.get()

    assert bytes(row.digest) == hashlib.sha256(code.encode()).digest()
    assert code not in str(vars(row))


def test_the_statements_of_an_exchange_are_counted(get_code, exchange, count_statements):
    exchange(get_code())
    code = get_code()

    with count_statements() as statements:
        assert exchange(code).status == 200

    assert len(statements) == 5  # code, user with roles, session, code, audit


# --- OpenID Connect ---


def id_claims(answer, signing_key, client_id="portal"):
    public_key = keys.ring.view().verification_keys[signing_key.kid].public_key
    return jwt.decode(answer.body["id_token"], public_key, algorithms=["RS256"], audience=client_id)


@pytest.mark.spec("OpenID Connect Core 1.0", "2", "the id_token's claims")
@pytest.mark.spec("OpenID Connect Core 1.0", "3.1.3.6", "at_hash")
def test_who_signs_in_by_openid_connect_gets_an_id_token(get_code, exchange, signing_key, alice):
    answer = exchange(get_code(scope="openid", nonce="n-0S6_WzA2Mj", methods=("password", "totp")))

    claims = id_claims(answer, signing_key)
    half = hashlib.sha256(answer.body["access_token"].encode()).digest()[:16]
    assert claims["iss"] == django_settings.JWT_ISSUER
    assert (claims["sub"], claims["aud"], claims["azp"]) == (str(alice.pk), "portal", "portal")
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
    assert (claims["amr"], claims["acr"], claims["type"]) == (["pwd", "otp", "mfa"], "2", "id")
    assert claims["sid"] == str(Session.objects.get().pk)
    assert claims["auth_time"] <= claims["iat"] < claims["exp"]
    assert claims.keys().isdisjoint({"email", "name", "roles", "scope"})
    assert jwt.get_unverified_header(answer.body["id_token"])["typ"] == "JWT"


@pytest.mark.checklist(72)
def test_an_id_token_is_no_access_token(get_code, exchange, client):
    answer = exchange(get_code(scope="openid"))

    assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {answer.body['id_token']}").status_code == 401


@pytest.mark.spec("OpenID Connect Core 1.0", "12.2", "the id_token of a refresh")
def test_a_refresh_gives_another_id_token_of_the_same_sign_in(get_code, exchange, refresh, signing_key):
    first = exchange(get_code(scope="openid offline_access", nonce="n-1"))

    second = refresh(first.body["refresh_token"], client_id="portal")

    before, after = id_claims(first, signing_key), id_claims(second, signing_key)
    assert {name: before[name] for name in ("iss", "sub", "aud", "sid", "auth_time")} == {
        name: after[name] for name in ("iss", "sub", "aud", "sid", "auth_time")
    }
    assert "nonce" not in after


@pytest.mark.spec("OpenID Connect Core 1.0", "11", "offline_access")
def test_who_may_ask_for_offline_access_gets_a_refresh_token_when_it_asks(get_code, exchange, portal):
    assert "refresh_token" not in exchange(get_code(scope="openid")).body
    assert "refresh_token" in exchange(get_code(scope="openid offline_access")).body
    Client.objects.filter(pk=portal.pk).update(allowed_scopes="openid api:read")
    clients.cache.forget()
    assert "refresh_token" in exchange(get_code(scope="openid")).body


# --- Resource indicators ---


@pytest.mark.spec("RFC 8707", "2.2", "the token is for the resource that was asked for")
def test_a_resource_becomes_the_audience_and_stays_it(get_code, exchange, refresh, portal, signing_key):
    Client.objects.filter(pk=portal.pk).update(resources="https://mcp.example/ https://files.example/")
    clients.cache.forget()
    first = exchange(get_code(resource="https://mcp.example/"), resource="https://mcp.example/")
    token = first.body["refresh_token"]
    refused = refresh(token, client_id="portal", resource="https://files.example/")
    second = refresh(token, client_id="portal", resource="https://mcp.example/")
    third = refresh(second.body["refresh_token"], client_id="portal")

    assert refused.error == "invalid_target"
    for answer in (first, second, third):
        assert jwt.decode(answer.body["access_token"], options={"verify_signature": False})["aud"] == "https://mcp.example/"
    Client.objects.filter(pk=portal.pk).update(resources="")
    clients.cache.forget()
    assert refresh(third.body["refresh_token"], client_id="portal").error == "invalid_grant"


def test_a_clients_own_token_is_for_its_resources_alone(post, robot):
    Client.objects.filter(client_id="robot").update(resources="https://mcp.example/")
    form = {"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value}

    answer = post(form | {"resource": "https://mcp.example/"})

    assert jwt.decode(answer.body["access_token"], options={"verify_signature": False})["aud"] == "https://mcp.example/"
    assert post(form | {"resource": "https://other.example/"}).error == "invalid_target"


# --- Races and sequences ---


@pytest.mark.checklist(115)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("parallel", [2, 20])
def test_of_parallel_exchanges_one_wins_and_its_session_ends(get_code, verifier, portal, parallel):
    sent = Exchange(get_code(), REDIRECT_URI, verifier.value, "")

    results = at_once(
        *[lambda: authorization_codes.redeem(sent, client=portal, origin=ORIGIN) for _ in range(parallel)], refusals=(OAuthError,)
    )

    assert sum(isinstance(result, authorization_codes.Redeemed) for result in results) == 1
    assert {result.error for result in results if isinstance(result, OAuthError)} == {"invalid_grant"}
    assert Session.objects.get().revoked_reason == "authorization_code_reused"


def outcome_of(sent, *, client):
    try:
        authorization_codes.redeem(sent, client=client, origin=ORIGIN)
    except OAuthError as refusal:
        return refusal.error
    return "redeemed"


STEPS = st.sampled_from(["right", "wrong verifier", "wrong client", "wrong address", "too late"])


@pytest.mark.django_db(transaction=True)
@given(steps=st.lists(STEPS, min_size=1, max_size=6))
@hypothesis_settings(max_examples=25, deadline=None)
def test_whatever_is_tried_in_whatever_order_a_code_gives_one_session_at_most(steps):
    """The code after each step is one of: waiting, used and its session alive, used and its session ended, expired."""
    Session.objects.all().delete()
    AuthorizationCode.objects.all().delete()
    portal, other = (
        Client.objects.get_or_create(
            client_id=name, defaults={"client_type": "public", "grant_types": ["authorization_code"], "allowed_scopes": "api:read"}
        )[0]
        for name in ("portal", "other")
    )
    alice = User.objects.filter(username="alice").first() or User.objects.create_user("alice")
    verifier, started = Verifier(), clock.offset
    AuthorizationCode.objects.create(
        digest=hashlib.sha256(b"the code").digest(),
        client=portal,
        user=alice,
        user_epoch=alice.session_epoch,
        redirect_uri=REDIRECT_URI,
        scope="api:read",
        code_challenge=verifier.challenge,
        auth_time=clock.now(),
        amr="pwd",
        expires_at=clock.Instant(plus=authorization_codes.LIFETIME),
    )
    state = "waiting"
    try:
        for step in steps:
            if step == "too late":
                clock.offset += authorization_codes.LIFETIME * 2
                state = "expired" if state == "waiting" else state
                continue
            sent = Exchange(
                "the code",
                "https://evil.example/" if step == "wrong address" else REDIRECT_URI,
                "x" * 43 if step == "wrong verifier" else verifier.value,
                "",
            )
            outcome = outcome_of(sent, client=other if step == "wrong client" else portal)
            succeeded = outcome == "redeemed"

            assert outcome == ("redeemed" if step == "right" and state == "waiting" else "invalid_grant")
            if succeeded:
                state = "alive"
            elif state == "alive" and step != "wrong client":
                state = "ended"
            ended = [session.revoked_at is not None for session in Session.objects.all()]
            assert ended == {"waiting": [], "expired": [], "alive": [False], "ended": [True]}[state]
    finally:
        clock.offset = started
