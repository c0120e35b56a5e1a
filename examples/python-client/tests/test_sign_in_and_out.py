"""Signing in, signing out, and what each refusal tells."""

import base64
from datetime import UTC, datetime

import httpx
import pytest
from authserver_client import (
    AccountLocked,
    AuthClient,
    AuthError,
    InvalidClient,
    InvalidGrant,
    MemoryStore,
    MfaRequired,
    RateLimited,
    TemporarilyUnavailable,
)
from played_server import ERROR_ID, LOST, Refused, refused


def test_signing_in_asks_for_the_scope_by_the_password(connect, server):
    client = connect()

    client.sign_in("alice@example.com", server.password, scope="api:read api:write")

    [asked] = server.asked
    assert asked.path == "/oauth/token"
    assert asked.form == {
        "grant_type": "password",
        "username": "alice@example.com",
        "password": server.password,
        "scope": "api:read api:write",
        "client_id": "editor",
    }
    assert client.access_token() in server.good


def test_a_confidential_client_says_who_it_is_by_basic_with_both_parts_encoded(connect, server):
    client = connect(client_id="a robot", client_secret="p:ö%+ s")

    client.sign_in("alice", server.password)

    [asked] = server.asked
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"a%20robot:p%3A%C3%B6%25%2B%20s"
    assert "client_id" not in asked.form


def test_a_slash_at_the_end_of_base_url_makes_no_difference(connect, server):
    connect(url=f"{server.url}/").sign_in("alice", server.password)

    assert server.asked[0].path == "/oauth/token"


def test_a_base_url_that_is_no_address_is_refused_at_once(connect):
    with pytest.raises(ValueError, match="http://"):
        connect(url="localhost:8003")


@pytest.mark.parametrize(
    ("answer", "kind", "retry_after"),
    [
        (refused(401, "invalid_client"), InvalidClient, None),
        (refused(401, "invalid_grant"), InvalidGrant, None),
        (refused(400, "mfa_required"), MfaRequired, None),
        (refused(429, "rate_limit_exceeded", headers={"Retry-After": "30"}, retry_after=30), RateLimited, 30),
        (refused(503, "temporarily_unavailable", headers={"Retry-After": "2"}), TemporarilyUnavailable, 2),
        (refused(400, "invalid_scope"), AuthError, None),
        (refused(500, "server_error"), AuthError, None),
    ],
)
def test_each_refusal_is_an_error_of_its_own_with_the_server_s_words(connect, server, answer, kind, retry_after):
    server.next = [answer]

    with pytest.raises(AuthError) as raised:
        connect().sign_in("alice", server.password)

    told = raised.value
    assert type(told) is kind
    assert (told.error, told.error_description, told.error_id) == (answer.body["error"], answer.body["error_description"], ERROR_ID)
    assert told.retry_after == retry_after
    assert str(told) == f"{told.error}: {told.error_description} (error_id {ERROR_ID})"


def test_a_locked_account_tells_when_it_opens(connect, server):
    server.next = [refused(403, "account_locked", headers={"Retry-After": "840"}, retry_after=840, locked_until="2030-01-02T03:04:05Z")]

    with pytest.raises(AccountLocked) as raised:
        connect().sign_in("alice", server.password)

    assert raised.value.retry_after == 840
    assert raised.value.locked_until == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Refused(503, "<h1>Service Unavailable</h1>"), TemporarilyUnavailable),
        (Refused(502, "[]"), TemporarilyUnavailable),
        (Refused(429, "slow down", {"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"}), RateLimited),
        (Refused(404, "<h1>Not Found</h1>"), AuthError),
        (Refused(302, "", {"Location": "https://elsewhere.example/"}), AuthError),
        (Refused(200, "<h1>Welcome to the hotel</h1>"), AuthError),
        (Refused(200, {"access_token": "without an end"}), AuthError),
    ],
)
def test_what_a_gateway_answers_in_the_server_s_place_is_an_error_too(connect, server, answer, kind):
    server.next = [answer]
    client = connect()

    with pytest.raises(AuthError, match="/oauth/token was answered") as raised:
        client.sign_in("alice", server.password)

    assert type(raised.value) is kind
    assert len(server.asked) == 1
    with pytest.raises(InvalidGrant):
        client.access_token()


@pytest.mark.parametrize("happens", [LOST, refused(503, "temporarily_unavailable")])
def test_a_password_is_never_sent_twice(connect, server, happens):
    server.next = [happens]

    with pytest.raises(TemporarilyUnavailable):
        connect().sign_in("alice", server.password)

    assert len(server.asked) == 1


def test_a_wrong_password_leaves_who_is_signed_in_signed_in(signed_in, server):
    with pytest.raises(InvalidGrant):
        signed_in.sign_in("bob", "not this one")

    assert signed_in.access_token() in server.good


def test_signing_out_revokes_the_refresh_token_and_empties_the_store(connect, server):
    store = MemoryStore()
    client = connect(store=store)
    client.sign_in("alice", server.password)
    refresh_token = server.live

    client.sign_out()

    assert server.asked[-1].path == "/oauth/revoke"
    assert server.asked[-1].form == {"token": refresh_token, "client_id": "editor"}
    assert store.load() is None
    with pytest.raises(InvalidGrant, match="Nobody is signed in"):
        client.access_token()


def test_signing_out_is_tried_again_when_its_answer_is_lost(signed_in, server):
    server.next = [LOST, refused(503, "temporarily_unavailable")]

    signed_in.sign_out()

    assert [asked.path for asked in server.asked[1:]] == ["/oauth/revoke"] * 3


def test_signing_out_while_the_server_is_away_empties_the_store_and_says_that_the_server_was_not_told(connect, server):
    store = MemoryStore()
    client = connect(store=store)
    client.sign_in("alice", server.password)
    server.close()

    with pytest.raises(TemporarilyUnavailable, match="did not answer"):
        client.sign_out()

    assert store.load() is None
    with pytest.raises(InvalidGrant):
        client.access_token()


def test_signing_out_when_nobody_is_signed_in_asks_nothing(connect, server):
    connect().sign_out()

    assert server.asked == []


def test_an_http_client_of_one_s_own_is_asked_and_left_open(server):
    with httpx.Client(headers={"User-Agent": "my-tool/1"}, auth=("somebody", "else")) as http:
        with AuthClient(server.url, "editor", http=http) as client:
            client.sign_in("alice", server.password)

        assert not http.is_closed
    assert server.asked[0].headers["User-Agent"] == "my-tool/1"
    assert "Authorization" not in server.asked[0].headers
