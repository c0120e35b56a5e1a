"""What the Dart client sends, read from its source, is sent to a real server in exactly that form."""

import json
import re
import secrets
from datetime import datetime
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from oauth import errors
from tests.e2e.dart_source import Call, constants, fill
from tests.e2e.gateway import browser
from tests.e2e.servers import ROOT

CLIENT = ROOT / "examples/dart-client"
SOURCES = sorted(CLIENT.rglob("*.dart"))
CALLS = constants(CLIENT / "lib/src/requests.dart")
USER = {"username": "user@example.com", "password": "password123"}


@pytest.fixture
def http(demo):
    # From an address of its own: what is refused here is counted with nobody else's.
    with browser(demo, address=f"127.{1 + secrets.randbelow(250)}.{secrets.randbelow(250)}.9") as client:
        yield client


def send(http, call, **values):
    """As Dart's `http` package does: it names the charset of a form."""
    filled = call.filled(client_id=default_of("clientId"), **values)
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"} if filled.form else {}
    return http.request(filled.method, filled.path, headers=filled.headers | form, content=urlencode(filled.form))


def default_of(parameter):
    """Of the constructor of AuthService."""
    [value] = re.findall(rf"this\.{parameter} = '([^']*)'", read("auth_service.dart"))
    return value


def read(name):
    [path] = [path for path in SOURCES if path.name == name]
    return path.read_text(encoding="utf-8")


def sign_in(http):
    answer = send(http, CALLS["signIn"], scope=default_of("scope"), **USER)
    assert answer.status_code == 200, answer.text
    return answer.json()


def new_key():
    return secrets.token_hex(16)


# --- The requests ---------------------------------------------------------------------------------


def test_every_request_of_the_source_is_sent_by_a_test():
    assert CALLS.keys() == {"signIn", "refresh", "revoke", "openWebSocket", "bearer", "authenticate"}
    assert {name for name, call in CALLS.items() if isinstance(call, Call)} == {"signIn", "refresh", "revoke", "openWebSocket"}


def test_a_sign_in_gives_what_the_client_reads(http):
    answer = sign_in(http)

    members = dict(re.findall(r"'(\w+)': final (\w+) ", read("tokens.dart")))
    assert members == {"access_token": "String", "refresh_token": "String", "expires_in": "int"}
    assert {name: {str: "String", int: "int"}[type(answer[name])] for name in members} == members


def test_a_password_reaches_the_server_as_it_was_typed(http):
    odd = "{username} $x %41 + & = ü 密"

    answer = send(http, CALLS["signIn"], scope="api:read", username="user@example.com", password=odd)

    assert answer.json()["error"] == "invalid_grant"
    assert CALLS["signIn"].filled(username="a", password=odd, client_id="b", scope="c").form["password"] == odd


def test_a_refresh_that_is_repeated_with_its_key_gets_the_same_token(http):
    sent = {"refresh_token": sign_in(http)["refresh_token"], "idempotency_key": new_key()}

    first, second = (send(http, CALLS["refresh"], **sent) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["refresh_token"] == second.json()["refresh_token"] != sent["refresh_token"]


def test_a_revoked_session_is_refused_as_the_client_expects(http):
    token = sign_in(http)["refresh_token"]

    assert send(http, CALLS["revoke"], refresh_token=token).status_code == 200

    refused = send(http, CALLS["refresh"], refresh_token=token, idempotency_key=new_key())
    assert refused.json()["error"] == "invalid_grant"


def test_signing_out_with_a_token_that_was_just_spent_ends_the_session_too(http):
    old = sign_in(http)["refresh_token"]
    new = send(http, CALLS["refresh"], refresh_token=old, idempotency_key=new_key()).json()["refresh_token"]

    send(http, CALLS["revoke"], refresh_token=old)

    refused = send(http, CALLS["refresh"], refresh_token=new, idempotency_key=new_key())
    assert refused.json()["error"] == "invalid_grant"


def test_an_api_takes_the_token_and_answers_401_to_another(http):
    def ask(token):
        headers = {name: fill(value, {"access_token": token}) for name, value in CALLS["bearer"].items()}
        return http.get("/api/v1/sessions", headers=headers).status_code

    assert ask(sign_in(http)["access_token"]) == 200
    assert ask("none") == 401


def test_the_web_socket_takes_the_token_at_the_handshake_and_a_newer_one_in_band(http):
    tokens = sign_in(http)
    newer = send(http, CALLS["refresh"], refresh_token=tokens["refresh_token"], idempotency_key=new_key()).json()["access_token"]

    with web_socket(http, tokens["access_token"]) as socket:
        first = json.loads(socket.recv(timeout=20))
        socket.send(authenticate_frame(newer))
        second = json.loads(socket.recv(timeout=20))
        socket.send('{"text": "hello"}')
        third = json.loads(socket.recv(timeout=20))

    for message in (first, second):
        assert (message["type"], type(message["expires_in"])) == ("authenticated", int)
    assert third["message"] == {"text": "hello"}


def test_the_codes_that_close_the_web_socket_are_those_that_the_client_knows(http):
    known = dict(re.findall(r"static const (_\w+) = (\d{4});", read("web_socket_service.dart")))
    token = sign_in(http)["access_token"]
    other = send(http, CALLS["signIn"], username="test@example.com", password="test123", scope="api:read").json()["access_token"]

    assert closes_with(http, token, authenticate_frame("none")) == int(known["_unauthorized"])
    assert closes_with(http, token, authenticate_frame(other)) == int(known["_forbidden"])
    with pytest.raises(InvalidStatus) as refused:
        web_socket(http, "none")
    assert refused.value.response.status_code == 401


def web_socket(http, token):
    call = CALLS["openWebSocket"].filled(session_id="session%201", access_token=token)
    assert call.method == "GET"
    url = str(http.base_url.join(call.path)).replace("http", "ws", 1)
    return connect(url, additional_headers=call.headers, proxy=None)


def authenticate_frame(token):
    return json.dumps({name: fill(text, {"access_token": token}) for name, text in CALLS["authenticate"].items()})


def closes_with(http, token, frame):
    with web_socket(http, token) as socket:
        socket.recv(timeout=20)
        socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    return closed.value.rcvd.code


# --- The refusals ---------------------------------------------------------------------------------


def test_the_client_knows_the_codes_of_the_server_and_no_others():
    codes = set(re.findall(r"^    '(\w+)' => \w+\(", read("exceptions.dart"), re.MULTILINE))

    assert codes == {"invalid_grant", "account_locked", "rate_limit_exceeded", "mfa_required", "temporarily_unavailable"}
    assert codes <= {refusal.error for refusal in errors.OAuthError.__subclasses__()}


def test_a_locked_account_says_when_it_opens_as_the_client_reads_it(http):
    guess = {"scope": "api:read", "username": f"nobody-{new_key()}", "password": "wrong"}

    answers = (send(http, CALLS["signIn"], **guess) for _ in range(30))
    locked = next(answer for answer in answers if answer.json()["error"] == "account_locked")

    assert set(re.findall(r"body(?:\?)?\['(\w+)'\]", read("exceptions.dart"))) <= locked.json().keys()
    assert datetime.fromisoformat(locked.json()["locked_until"]).tzinfo is not None
    assert int(locked.headers["Retry-After"]) > 0
