"""A service asks about a token, a proxy lets a request through, an app signs its user out: as docs/endpoints.md shows."""

import re

import httpx
import pytest

from tests.e2e.calls import CLIENT_ID, refresh, sessions, sign_in
from tests.e2e.servers import ISSUER
from tests.e2e.wire import Wire


@pytest.fixture
def internal(server):
    """The credentials of codelab-internal."""
    [secret] = re.findall(r"shown once: (\S+)", server.bootstrap_output)
    return ("codelab-internal", secret)


@pytest.fixture
def is_active(http, internal):
    def ask(token):
        response = http.post("/oauth/introspect", data={"token": token}, auth=internal)
        assert response.status_code == 200, response.text
        return response.json()["active"]

    return ask


def verify(http, token, **headers):
    return http.get("/oauth/verify", headers={"Authorization": f"Bearer {token}"} | headers)


def revoke(http, token, **form):
    return http.post("/oauth/revoke", data={"token": token, "client_id": CLIENT_ID} | form)


def test_a_service_is_told_of_a_users_token(http, internal):
    token = sign_in(http)["access_token"]

    answer = http.post("/oauth/introspect", data={"token": token, "token_type_hint": "refresh_token"}, auth=internal)

    body = answer.json()
    assert (body["active"], body["iss"], body["username"], body["client_id"]) == (True, ISSUER, "user", CLIENT_ID)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_service_asks_about_its_own_token(http, internal, is_active):
    own = http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=internal).json()["access_token"]

    assert is_active(own)
    assert verify(http, own).headers["X-Auth-Subject"] == "codelab-internal"


def test_an_app_may_not_ask(http):
    token = sign_in(http)["access_token"]

    answer = http.post("/oauth/introspect", data={"token": token, "client_id": CLIENT_ID})

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.checklist(75)
def test_signing_out_is_known_to_every_process_at_once(server, http, is_active):
    for _ in range(5):
        tokens = sign_in(http)
        assert is_active(tokens["access_token"])
        assert verify(http, tokens["access_token"]).status_code == 204

        done = revoke(http, tokens["refresh_token"])

        assert (done.status_code, done.json()) == (200, {})
        for _ in range(4):
            with httpx.Client(base_url=server.base_url, timeout=20) as newcomer:
                assert verify(newcomer, tokens["access_token"]).status_code == 401
                assert sessions(newcomer, tokens["access_token"]).status_code == 401
        assert not is_active(tokens["access_token"])
        assert refresh(http, tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_an_access_token_signs_nobody_of_a_public_app_out(http):
    tokens = sign_in(http)

    assert revoke(http, tokens["access_token"], token_type_hint="access_token").json() == {}

    assert verify(http, tokens["access_token"]).status_code == 204


def test_the_body_of_a_request_that_a_proxy_asks_about_is_not_missed(http):
    """A proxy sends on the headers and keeps the body to itself."""
    token = sign_in(http)["access_token"]

    answers = [verify(http, token, **{"Content-Type": "application/json", "Content-Length": "0"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [204] * 3
    assert http.head("/oauth/verify", headers={"Authorization": f"Bearer {token}"}).status_code == 204


def test_after_an_answer_without_a_body_the_connection_goes_on(server, http):
    token = sign_in(http)["access_token"]
    question = f"GET /oauth/verify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    with Wire(server.port) as wire:
        wire.send(question + b"GET /oauth/verify HTTP/1.1\r\nHost: localhost\r\n\r\n" + question)
        heads = [wire._input.readline()]
        while (line := wire._input.readline()) != b"\r\n":
            assert line, "the connection has ended"
            heads.append(line)
        second = wire.read()

    assert heads[0].split()[1] == b"204"
    assert not [line for line in heads if line.lower().startswith((b"content-length", b"transfer-encoding"))]
    assert second.status == 401
    assert second.headers["WWW-Authenticate"].startswith('Bearer realm="authserver", resource_metadata=')
