"""The integration guide's world through its gateway: `make demo`'s own program and configuration, with one connection after the other."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e import gateway
from tests.e2e.calls import refresh, sign_in
from tests.e2e.gateway import access_log, browser, database, wait_for
from tests.e2e.servers import ROOT, clean_environment
from tests.postgres import free_port

SHORT_SECONDS = 6


@pytest.fixture
def http(demo):
    with browser(demo) as client:
        yield client


@pytest.fixture
def auth(demo, monkeypatch):
    """The Python client of examples/, of an app whose access tokens live for some seconds."""
    monkeypatch.syspath_prepend(ROOT / "examples/python-client")
    from authserver_client import AuthClient

    with database(demo) as opened:
        opened.execute("UPDATE oauth_client SET access_token_lifetime = ? WHERE client_id = 'test-client'", (SHORT_SECONDS,))
    with AuthClient(demo.base_url, "test-client") as client:
        yield client


# --- The way of a user ---------------------------------------------------------------------------


class Socket:
    """A WebSocket of an app that shows each new access token as soon as there is one."""

    def __init__(self, connection, auth, *, shown):
        self._connection, self._auth, self.shown = connection, auth, shown

    @classmethod
    @contextmanager
    def open(cls, demo, auth):
        url, token = f"ws://localhost:{demo.ports.gateway}/api/v1/ws/first", auth.access_token()
        with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None) as connection:
            made = cls(connection, auth, shown=token)
            assert made._receive()["type"] == "authenticated"
            yield made

    def renew(self):
        if (token := self._auth.access_token()) != self.shown:
            assert self.say(type="authenticate", access_token=token)["type"] == "authenticated"
            self.shown = token
        return self.shown

    def say(self, **message):
        """The answer."""
        self._connection.send(json.dumps(message))
        return self._receive()

    def _receive(self):
        return json.loads(self._connection.recv(timeout=20))


def test_a_user_signs_in_and_works_while_tokens_expire_and_keys_change_and_signs_out(demo, auth, http):
    auth.sign_in("user@example.com", "password123")
    first = auth.access_token()
    with httpx.Client(base_url=demo.base_url, auth=auth.auth, timeout=20) as api:
        made = api.post("/api/v1/sessions")
        assert (made.status_code, api.get("/api/v1/sessions").json()) == (201, [made.json()])

        with Socket.open(demo, auth) as socket:
            headers = {"Authorization": f"Bearer {first}"}
            wait_for(lambda: socket.renew() and http.get("/api/v1/protected", headers=headers).status_code == 401)
            assert http.get("/api/v1/protected", headers=headers).json()["error"] == "invalid_token"
            assert socket.say(text="the first token has expired")["message"] == {"text": "the first token has expired"}

            old_key = jwt.get_unverified_header(socket.renew())["kid"]
            command = [sys.executable, "manage.py", "rotate_signing_key", "--emergency", old_key, "--reason", "a test"]
            rotation = subprocess.Popen(command, cwd=ROOT, env=demo.programs["authserver"].environment, stdout=subprocess.DEVNULL)
            wait_for(lambda: socket.renew() and rotation.poll() is not None)
            assert rotation.returncode == 0
            wait_for(lambda: jwt.get_unverified_header(socket.renew())["kid"] != old_key)
            assert socket.say(text="signed anew")["message"] == {"text": "signed anew"}
            assert (
                api.get("/api/v1/protected").json()["message"]
                == f"Hello, user {jwt.decode(socket.shown, options={'verify_signature': False})['sub']}"
            )
            wait_for(lambda: old_key not in [key["kid"] for key in http.get("/.well-known/jwks.json").json()["keys"]])

        assert api.get("/api/v1/auth/me").json()["username"] == "user"
    last = {"Authorization": f"Bearer {auth.access_token()}"}
    auth.sign_out()
    assert http.get("/api/v1/auth/me", headers=last).status_code == 401


def test_who_signed_out_gets_no_new_token(http):
    tokens = sign_in(http)

    assert http.post("/oauth/revoke", data={"token": tokens["refresh_token"], "client_id": "codelab-flutter-app"}).status_code == 200

    assert refresh(http, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}).status_code == 401


def test_a_socket_without_a_token_is_refused(demo):
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://localhost:{demo.ports.gateway}/api/v1/ws/first", proxy=None):
        pass

    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["WWW-Authenticate"].startswith("Bearer")


# --- The service that knows nothing of tokens ------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic dXNlcjp4"}, {"X-Auth-Subject": "mallory"}]
)
def test_nobody_reaches_the_old_service_without_a_token(http, headers):
    answer = http.get("/legacy/reports", headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="authserver"')


@pytest.mark.parametrize("header", ["X-Auth-Subject", "x-auth-subject", "X_Auth_Subject"])
def test_the_old_service_is_told_who_it_is_and_nobody_else_tells_it(http, header):
    tokens = sign_in(http)
    forged = [("Authorization", f"Bearer {tokens['access_token']}"), (header, "mallory"), (header, "mallory"), ("X-Auth-Scope", "all")]

    answer = http.get("/legacy/reports?month=may", headers=forged)

    user = jwt.decode(tokens["access_token"], options={"verify_signature": False})["sub"]
    assert answer.json() == {
        "path": "/reports?month=may",
        "user": user,
        "client": "codelab-flutter-app",
        "scopes": ["api:read", "api:write"],
    }


def test_a_token_is_asked_about_once_in_some_seconds_and_not_believed_for_longer(demo, http):
    tokens = sign_in(http)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: http.get(f"/legacy/many/{number}", headers=headers), range(40)))

    assert {answer.status_code for answer in answers} == {200}
    lines = wait_for(lambda: [lines := [line for line in access_log(demo) if '"GET /legacy/many/' in line], len(lines) == 40][1] and lines)
    asked = Counter(line.split()[-2] for line in lines)
    assert asked["HIT"] >= 20  # the others at a border of five seconds, of which a slow machine meets several

    refreshed = http.post("/oauth/revoke", data={"token": tokens["refresh_token"], "client_id": "codelab-flutter-app"})
    assert refreshed.status_code == 200
    wait_for(lambda: http.get("/legacy/x", headers=headers).status_code == 401)


# --- make demo -----------------------------------------------------------------------------------


def test_what_make_demo_prints_works_and_ctrl_c_takes_everything_along(demo, tmp_path):
    gateway.copy_data(demo.folder, tmp_path, secret_key=(demo.folder / "secret-key").read_text("utf-8"))
    environment = clean_environment(DEMO_FOLDER=str(tmp_path), DEMO_PORT=str(first_of_four_free_ports()), no_proxy="localhost")
    process = subprocess.Popen([sys.executable, "-m", "deploy.demo"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        printed = read_through(process.stdout, f"Logs       {tmp_path}/*.log\n")
        lines = re.findall(r"^  ((?:TOKEN=|curl )(?:.*\\\n)*.*)", printed, re.MULTILINE)
        script = (
            'set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; echo; }\n'
            + "\n".join(lines)
        )
        pasted = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, encoding="utf-8", check=False)
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=40)

    assert len(lines) == 7
    assert pasted.returncode == 0, pasted.stdout + pasted.stderr
    assert '"username":"user"' in pasted.stdout
    assert (process.returncode, rest) == (0, "\nStopping...\n")
    assert subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False).stdout == b""


def first_of_four_free_ports():
    """The demo takes the three behind it too."""
    while True:
        first = free_port()
        with ExitStack() as held:
            try:
                for port in range(first, first + 4):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
        return first


def read_through(stream, last):
    """All lines up to this one."""
    lines = []
    for line in stream:
        lines.append(line)
        if line == last:
            return "".join(lines)
    raise AssertionError(f"it ended before it was ready: {''.join(lines)}")
