"""The integration guide's world through its gateway: `make demo`'s own program and configuration, with one connection after the other."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import jwt
import pytest
from django.urls import get_resolver
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from authserver.middleware import PROBES
from tests.e2e import gateway
from tests.e2e.calls import refresh, sign_in
from tests.e2e.gateway import access_log, bearer, browser, database
from tests.e2e.person import Page
from tests.e2e.servers import ROOT, clean_environment
from tests.project.test_docs import paths_of

FORGED = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Forwarded-Proto": "https"}
SHORT_SECONDS = 6
MORE_SESSIONS = """
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 60)
    INSERT INTO oauth_session SELECT {columns} FROM number, (SELECT * FROM oauth_session ORDER BY created_at DESC LIMIT 1)
"""


@pytest.fixture(scope="module")
def demo(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    if not os.environ.get("TEST_DB_URL"):  # it works on SQLite too
        gateway.copy_data(server.folder, folder, secret_key=server.environment["AUTH_SERVICE__SECRET_KEY"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        # Without it a resource server takes tokens for another minute.
        with gateway.running(folder, AUTH_LEEWAY_SECONDS="0") as made:
            yield made


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


def wait_for(condition, *, seconds=20):
    """What the condition gives, as soon as it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


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
            while http.get("/api/v1/protected", headers=headers).status_code == 200:
                socket.renew()
                time.sleep(0.1)
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


# --- What is open --------------------------------------------------------------------------------


def test_every_path_of_the_server_is_behind_the_gateway(http):
    paths = {path for path in paths_of(get_resolver()) if path not in PROBES}
    asked = {re.sub(r"\{\w+\}", "x", path).replace("/api/v1/", "/api/v1/auth/") for path in paths} | {"/auth-health", "/static/shared.css"}

    answers = [http.get(path) for path in asked]

    assert len(answers) > 50
    # The server alone sends it, and the resource server owns /api/v1/.
    assert [answer.url.path for answer in answers if "Content-Security-Policy" not in answer.headers] == []
    assert [answer.url.path for answer in answers if answer.status_code >= 500] == []


@pytest.mark.parametrize("path", [*sorted(PROBES - {"/api/v1/health"}), "//metrics", "/%6detrics", "/oauth/../live", "/-/verify"])
def test_what_is_for_the_operator_is_closed(demo, path):
    done = subprocess.run(
        ["curl", "--silent", "--path-as-is", "--write-out", "%{http_code}", f"http://127.0.0.1:{demo.ports.gateway}{path}"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert done.stdout.endswith("404")
    assert "nginx" in done.stdout


def test_the_health_is_open(http):
    assert http.get("/auth-health").json() == {"status": "ok", "database": "ok", "signing_key": "ok"}


@pytest.mark.checklist(45)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_what_a_client_says_of_its_address_changes_nothing(demo, address):
    with browser(demo, address=address) as http:
        tokens = sign_in(http, **{name.replace("-", "_"): value for name, value in FORGED.items()})
        listed = http.get("/api/v1/auth/sessions", headers={"Authorization": f"Bearer {tokens['access_token']}"}).json()["results"]

    assert [session["address"] for session in listed if session["current"]] == [address]
    assert jwt.decode(tokens["access_token"], options={"verify_signature": False})["iss"] == demo.base_url


def test_the_pages_of_a_list_lead_through_the_gateway(demo, http):
    headers = bearer(http)
    with database(demo) as opened:
        columns = [column for _, column, *_ in opened.execute("PRAGMA table_info(oauth_session)")]
        opened.execute(MORE_SESSIONS.format(columns=", ".join({"id": "lower(hex(randomblob(16)))"}.get(each, each) for each in columns)))

    first = http.get("/api/v1/auth/sessions", headers=headers).json()
    second = http.get(first["next"], headers=headers)

    assert first["next"].startswith(f"{http.base_url}/api/v1/auth/sessions?")
    assert second.json()["previous"].startswith(f"{http.base_url}/api/v1/auth/sessions?")
    assert len(second.json()["results"]) >= 10


def test_the_admin_is_signed_in_to_by_its_form(demo, http):
    asked = http.get("/admin/", follow_redirects=True)
    action, form = Page(asked.text).form_with("login", "password")
    password = (demo.folder / "admin-password").read_text("utf-8").strip()

    answer = http.post(
        action or asked.url.path, data=form | {"login": "admin", "password": password}, headers={"Origin": str(http.base_url)}
    )

    assert asked.url.path == "/sign-in"
    assert answer.status_code == 302, answer.text
    assert "authserver-session" in http.cookies


# --- The key set ---------------------------------------------------------------------------------


def test_the_key_set_is_not_sent_again_to_who_has_it(http):
    answer = http.get("/.well-known/jwks.json", headers={"Origin": "https://app.example.com"})

    again = http.get("/.well-known/jwks.json", headers={"If-None-Match": answer.headers["ETag"]})

    assert (answer.headers["Cache-Control"], answer.headers["Access-Control-Allow-Origin"]) == ("public, max-age=3600", "*")
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["X-Request-ID"] != answer.headers["X-Request-ID"]


def test_while_the_server_is_away_tokens_are_verified_and_everything_else_says_so(demo, http):
    headers = bearer(http)
    known = {path: http.get(f"/.well-known/{path}").content for path in ("jwks.json", "openid-configuration")}
    demo.stop("authserver")
    try:
        wait_for(lambda: http.get("/.well-known/jwks.json").content and any(" STALE " in line for line in access_log(demo)))
        kept = {path: http.get(f"/.well-known/{path}").content for path in known}
        protected = http.get("/api/v1/protected", headers=headers)
        refused = [refresh(http, "whatever"), http.get("/api/v1/auth/me", headers=headers), http.get("/legacy/x", headers=headers)]
        page = http.get("/sign-in")
    finally:
        demo.start("authserver")
        demo.wait_until_ready()

    assert kept == known
    assert protected.status_code == 200
    assert [(each.status_code, each.json()["error"]) for each in refused] == [(503, "temporarily_unavailable")] * 3
    assert {each.headers["Retry-After"] for each in refused} == {"5"}
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html")
    assert refresh(http, "whatever").json()["error"] == "invalid_grant"


# --- Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/oauth/token", "/api/v1/auth/me/password"])
def test_a_body_beyond_the_limit_is_refused_in_json(http, path):
    exact = http.post(path, content=b"a=" + b"x" * 65534, headers={"Content-Type": "application/x-www-form-urlencoded"})
    beyond = http.post(path, content=b"a=" + b"x" * 65535, headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert exact.status_code in {400, 401, 415}
    assert (beyond.status_code, beyond.json()["error"]) == (413, "invalid_request")
    assert beyond.headers["Cache-Control"] == "no-store"


def test_a_request_that_is_none_is_refused_in_json(http):
    answer = http.get("/oauth/token", headers={"X-Long": "x" * 40_000})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_flood_of_forms_from_one_address_is_refused_and_its_neighbours_refresh(demo):
    with browser(demo, address="127.0.0.3") as http, ThreadPoolExecutor(8) as pool:
        tokens = sign_in(http)
        refused = None
        deadline = time.monotonic() + 30
        while refused is None and time.monotonic() < deadline:
            answers = list(pool.map(lambda _: http.post("/api/v1/auth/register"), range(60)))
            refused = next((answer for answer in answers if answer.status_code == 429), None)
        page = next(answer for _ in range(60) if (answer := http.post("/sign-in")).status_code == 429)
        renewed = refresh(http, tokens["refresh_token"])
        read = http.get("/sign-in")
    with browser(demo, address="127.0.0.4") as http:
        elsewhere = http.post("/api/v1/auth/register")

    assert refused.json() == {"error": "rate_limit_exceeded", "error_description": "Too many requests. Try again later.", "retry_after": 10}
    assert (refused.headers["Retry-After"], refused.headers["Content-Type"]) == ("10", "application/json")
    assert page.headers["Content-Type"] == "text/html"
    assert (renewed.status_code, read.status_code) == (200, 200)
    assert elsewhere.status_code not in {429, 503}


def test_the_log_tells_no_query(demo, http):
    answer = http.get("/oauth/authorize?state=in-the-query&client_id=codelab-flutter-app", headers={"Referer": "http://x/?in-the-referer"})

    line = wait_for(lambda: next((line for line in access_log(demo) if line.endswith(answer.headers["X-Request-ID"])), None))
    assert '"GET /oauth/authorize" ' in line
    assert "in-the-" not in (demo.folder / "access.log").read_text("utf-8") + (demo.folder / "gateway.log").read_text("utf-8")


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
    assert asked["HIT"] >= 36  # the others at a border of five seconds

    refreshed = http.post("/oauth/revoke", data={"token": tokens["refresh_token"], "client_id": "codelab-flutter-app"})
    assert refreshed.status_code == 200
    wait_for(lambda: http.get("/legacy/x", headers=headers).status_code == 401)


# --- make demo -----------------------------------------------------------------------------------


def test_what_make_demo_prints_works_and_ctrl_c_takes_everything_along(demo, tmp_path):
    gateway.copy_data(demo.folder, tmp_path, secret_key=(demo.folder / "secret-key").read_text("utf-8"))
    ports = gateway.free_ports()
    environment = clean_environment(DEMO_FOLDER=str(tmp_path), DEMO_PORT=str(ports.gateway), no_proxy="localhost")
    process = subprocess.Popen([sys.executable, "deploy/demo.py"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        printed = "".join(iter(process.stdout.readline, f"Logs       {tmp_path}/*.log\n"))
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
