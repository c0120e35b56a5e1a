"""The resource servers of the examples, started as their pages say, behind the real server: its tokens, its keys, and time."""

import json
import re
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.e2e.calls import SIGN_IN_FORM
from tests.e2e.servers import ROOT, clean_environment, serving
from tests.postgres import free_port

FOLDERS = {"fastapi": "resource-server-fastapi", "drf": "resource-server-drf"}
BOB = {"username": "test@example.com", "password": "test123"}
SHORT_SECONDS = 6  # the tokens of test-client; those of the others are good for a quarter of an hour


@pytest.fixture(scope="module")
def auth(start_server):
    """A server of its own: its keys are revoked here."""
    server = start_server(AUTH_SERVICE__JWT_ISSUER="http://localhost:{port}")
    update = (
        f"from oauth.models import Client; Client.objects.filter(client_id='test-client').update(access_token_lifetime={SHORT_SECONDS})"
    )
    server.manage("shell", "--command", update)
    return server


@contextmanager
def resource_server(kind, auth, jwks_url, folder):
    """The address of one, started by the command of its page."""
    page = (ROOT / "examples" / FOLDERS[kind] / "README.md").read_text("utf-8")
    [command] = re.findall(r"^AUTH_ISSUER=http://localhost:8003 ((?:uvicorn|gunicorn) .*)$", page, re.MULTILINE)
    port = str(free_port())
    environment = clean_environment(
        AUTH_ISSUER=auth.base_url,
        AUTH_JWKS_URL=jwks_url,
        PYTHONPATH=f"{ROOT}/examples/token-verifier:{ROOT}/examples/{FOLDERS[kind]}",
        HOME=str(folder),
        no_proxy="localhost,127.0.0.1",
    )
    assert "8004" in command
    start = [sys.executable, "-m", *command.replace("8004", port).split()]
    ready_url = f"http://127.0.0.1:{port}/health"
    with serving(start, cwd=folder, environment=environment, log=folder / "log", ready_url=ready_url):
        yield f"127.0.0.1:{port}"
    assert "eyJ" not in (folder / "log").read_text("utf-8")  # no token was logged


@pytest.fixture(scope="module")
def relay(auth):
    """Passes requests for the key set on, and counts them."""

    class Relay(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            answer = httpx.get(f"{auth.base_url}{self.path}", headers=dict(self.headers), timeout=20)
            self.send_response(answer.status_code)
            for name in ("ETag", "Cache-Control"):
                self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *args):
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        server.asked = 0
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def jwks_url(relay):
    return f"http://127.0.0.1:{relay.server_port}/.well-known/jwks.json"


@pytest.fixture(scope="module")
def fastapi(auth, jwks_url, tmp_path_factory):
    with resource_server("fastapi", auth, jwks_url, tmp_path_factory.mktemp("fastapi")) as running:
        yield running


@pytest.fixture(scope="module")
def drf(auth, jwks_url, tmp_path_factory):
    with resource_server("drf", auth, jwks_url, tmp_path_factory.mktemp("drf")) as running:
        yield running


@pytest.fixture(params=FOLDERS)
def api(request):
    address = request.getfixturevalue(request.param)
    with httpx.Client(base_url=f"http://{address}/api/v1", timeout=20) as client:
        yield client


@pytest.fixture
def sign_in(auth):
    """An access token of the password grant."""

    def ask(**parameters):
        return token_of(auth, SIGN_IN_FORM | parameters)

    return ask


def token_of(auth, form):
    response = httpx.post(f"{auth.base_url}/oauth/token", data=form, timeout=20)
    assert response.status_code == 200, response.text
    return response.json()["access_token"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def claim(token, name):
    return jwt.decode(token, options={"verify_signature": False})[name]


def kid_of(token):
    return jwt.get_unverified_header(token)["kid"]


# --- HTTP -------------------------------------------------------------------------------------------


def test_a_user_sees_the_sessions_that_were_made_with_a_token_of_hers(api, sign_in):
    alices, bobs = sign_in(), sign_in(**BOB)
    assert api.get("/protected", headers=bearer(alices)).json() == {
        "message": f"Hello, user {claim(alices, 'sub')}",
        "scopes": ["api:read", "api:write"],
    }

    made = api.post("/sessions", headers=bearer(alices))

    assert made.status_code == 201
    assert made.json() in api.get("/sessions", headers=bearer(sign_in())).json()
    assert made.json() not in api.get("/sessions", headers=bearer(bobs)).json()


def test_a_client_comes_in_with_a_token_of_its_own(api, auth):
    [secret] = re.findall(r"shown once: (\S+)", auth.bootstrap_output)
    form = {"grant_type": "client_credentials", "client_id": "codelab-internal", "client_secret": secret, "scope": "api:read"}
    token = token_of(auth, form)

    assert api.get("/protected", headers=bearer(token)).json()["message"] == "Hello, user codelab-internal"
    assert api.get("/sessions", headers=bearer(token)).status_code == 200
    assert api.post("/sessions", headers=bearer(token)).status_code == 403


def test_a_token_that_was_narrowed_opens_less(api, sign_in):
    response = api.post("/sessions", headers=bearer(sign_in(scope="api:read")))

    assert response.status_code == 403
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="insufficient_scope", scope="api:write"'


def test_nothing_else_that_the_server_signs_or_gives_opens_anything(api, auth):
    answer = httpx.post(f"{auth.base_url}/oauth/token", data=SIGN_IN_FORM | {"scope": "openid offline_access api:read"}, timeout=20).json()

    statuses = {
        name: api.get("/protected", headers=bearer(answer[name])).status_code for name in ("access_token", "refresh_token", "id_token")
    }

    assert statuses == {"access_token": 200, "refresh_token": 401, "id_token": 401}
    assert api.get("/protected").headers["WWW-Authenticate"] == 'Bearer realm="api"'


# --- Keys -------------------------------------------------------------------------------------------


def revoke_key(auth, kid):
    """An emergency: the standby signs from now on. Wait until each process of the server knows."""
    auth.manage("rotate_signing_key", "--emergency", kid, "--reason", "a drill")
    deadline = time.monotonic() + 30
    told = 0
    while told < 12:  # in a row, so by both of its processes
        assert time.monotonic() < deadline
        kids = [key["kid"] for key in httpx.get(f"{auth.base_url}/.well-known/jwks.json", timeout=20).json()["keys"]]
        told = told + 1 if kid not in kids and len(kids) >= 2 else 0


def test_revoked_keys_break_no_new_token_and_cost_one_fetch(fastapi, auth, relay, sign_in):
    def status(token):
        return httpx.get(f"http://{fastapi}/api/v1/protected", headers=bearer(token), timeout=20).status_code

    first = sign_in()
    assert status(first) == 200
    revoke_key(auth, kid_of(first))

    second = sign_in()  # with the standby, which was published beforehand
    assert kid_of(second) != kid_of(first)
    asked = relay.asked
    assert status(second) == 200
    assert relay.asked == asked

    revoke_key(auth, kid_of(second))
    third = sign_in()  # with a key that came after the set was fetched
    assert [status(third) for _ in range(5)] == [200] * 5
    assert relay.asked == asked + 1

    assert [status(revoked) for revoked in (first, second)] == [401, 401]
    assert relay.asked == asked + 1


# --- The WebSocket ----------------------------------------------------------------------------------


def opened(fastapi, token):
    return connect(f"ws://{fastapi}/api/v1/ws/s1", additional_headers=bearer(token), open_timeout=20, proxy=None)


def heard(connection):
    return json.loads(connection.recv(timeout=30))


def closed_with(connection):
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=30)
    return closed.value.rcvd.code, closed.value.rcvd.reason


def renew(connection, token):
    connection.send(json.dumps({"type": "authenticate", "access_token": token}))


def test_a_websocket_ends_with_its_token_unless_a_new_one_comes(fastapi, sign_in):
    with opened(fastapi, sign_in(client_id="test-client")) as left, opened(fastapi, sign_in(client_id="test-client")) as renewed:
        assert 0 <= heard(left)["expires_in"] <= SHORT_SECONDS
        heard(renewed)
        time.sleep(2)
        fresh = sign_in(client_id="test-client")
        renew(renewed, fresh)
        assert heard(renewed)["type"] == "authenticated"

        assert closed_with(left) == (4401, "token expired")
        renewed.send('{"still": "here"}')
        assert heard(renewed) == {"type": "message", "session_id": "s1", "user_id": claim(fresh, "sub"), "message": {"still": "here"}}
        assert closed_with(renewed) == (4401, "token expired")


def test_a_websocket_opens_to_bearers_alone_and_does_not_change_hands(fastapi, sign_in):
    with pytest.raises(InvalidStatus) as refused, opened(fastapi, "made.up.token"):
        pass
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'

    with opened(fastapi, sign_in()) as connection:
        heard(connection)
        renew(connection, sign_in(**BOB))

        assert closed_with(connection)[0] == 4403
