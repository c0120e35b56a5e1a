"""The move from the older service, step by step as docs/operations.md has it, while its clients go on: nobody is signed out."""

import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import httpx
import jwt
import pytest

from tests import secrecy
from tests.e2e.nginx import need, nginx
from tests.e2e.servers import new_database
from tests.older_service import AUDIENCE, ISSUER, PASSWORD, OlderService, Refused
from tests.postgres import free_port

APP, SERVICE, SECRET = "codelab-flutter-app", "codelab-internal", "what codelab-internal has always sent"
USERS, SESSIONS_OF_SERVICES = 16, 4
PATIENCE_SECONDS = 150
CONFIGURATION = """
access_log off;
server {{
    listen 127.0.0.1:{port};
    location = /live {{ return 200; }}
    location / {{ include {switch}; }}
}}
"""


# --- The older service, as a server --------------------------------------------------------------------


@contextmanager
def serving(older):
    """Its two endpoints on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.reply(200, older.jwks())

        def do_POST(self):
            form = {name: value for name, [value] in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
            try:
                access, refresh = older.refresh(form["refresh_token"], form["client_id"])
            except Refused:
                self.reply(401, {"error": "invalid_grant"})
            else:
                self.reply(200, {"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": 900})

        def reply(self, status, body):
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            """Nothing: pytest's output is for people."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Front:
    """nginx before both, which can be told where to send people."""

    def __init__(self, folder, stack):
        self.folder, self.port, self._switch = folder, free_port(), folder / "switch.conf"
        self._write("closed", "return 503;")
        text = CONFIGURATION.format(port=self.port, switch=self._switch)
        stack.enter_context(nginx(folder / "nginx", text, plain_port=self.port))

    def close(self):
        self._change("closed", "return 503;")

    def lead_to(self, name, port):
        self._change(name, f"proxy_set_header Host localhost; proxy_pass http://127.0.0.1:{port};")

    def _change(self, name, directives):
        """Over when nobody is led the old way any more: an old worker of nginx goes on for a moment."""
        self._write(name, directives)
        os.kill(int((self.folder / "nginx" / "pid").read_text()), signal.SIGHUP)
        url = f"http://127.0.0.1:{self.port}/.well-known/jwks.json"
        wait_for(lambda: all(httpx.get(url).headers["X-Behind"] == name for _ in range(10)))

    def _write(self, name, directives):
        self._switch.write_text(f"add_header X-Behind {name} always; {directives}\n", encoding="utf-8")


# --- Who uses it ------------------------------------------------------------------------------------------


class Gateway:
    """As the older one verifies: it fetches the key set once, keeps it for an hour, and never looks again."""

    def __init__(self, http):
        self._keys = {key["kid"]: jwt.PyJWK(key) for key in http.get("/.well-known/jwks.json").json()["keys"]}

    def accepts(self, token):
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)
        except (jwt.InvalidTokenError, KeyError):
            return False
        return claims["type"] == "access"


class Holder:
    """Somebody who is signed in: refreshes again and again, tries again after any failure but the one, and shows each token around."""

    def __init__(self, client_id, refresh_token, *, url, gateway, secret=None):
        self.form = {"client_id": client_id} | ({"client_secret": secret} if secret else {})
        self.refresh_token, self.url, self.gateway = refresh_token, url, gateway
        self.seen, self.refused, self.unverifiable = Counter(), [], []

    def run(self, stop):
        with httpx.Client(base_url=self.url, timeout=30) as http:
            while not (stop.is_set() or self.refused):
                self.refresh(http)
                time.sleep(0.1)

    def refresh(self, http):
        response = http.post("/oauth/token", data=self.form | {"grant_type": "refresh_token", "refresh_token": self.refresh_token})
        if response.status_code == 200:
            tokens = response.json()
            self.refresh_token = tokens["refresh_token"]
            self.seen[response.headers["X-Behind"]] += 1
            if not self.gateway.accepts(tokens["access_token"]):
                self.unverifiable.append(tokens["access_token"])
        elif response.status_code in {400, 401, 403}:
            self.refused.append(response.text)


@pytest.fixture
def older(tmp_path):
    with ExitStack() as stack:
        server_url = os.environ.get("TEST_DB_URL")
        url = stack.enter_context(new_database(server_url)) if server_url else f"sqlite:///{tmp_path}/older.db"
        service = OlderService(url)
        stack.callback(service.close)
        service.add_client(APP)
        service.add_client(SERVICE, secret=SECRET, scopes=("api:admin", "api:read", "api:write"), lifetimes=(3600, 7776000))
        yield service


def test_nobody_is_signed_out_by_the_move(older, start_server, tmp_path):
    need("nginx")
    server = start_server(
        AUTH_SERVICE__CLOCK_SKEW="0", AUTH_SERVICE__INVALID_GRANT_STATUS="401", AUTH_SERVICE__TRUSTED_PROXIES="127.0.0.1/32"
    )
    secrecy.remember("a client's secret", SECRET)
    pem = tmp_path / "older.pem"
    pem.write_bytes(older.pem)
    users = [older.add_user(f"user{number}") for number in range(USERS)]
    with ExitStack() as stack:
        front = Front(tmp_path, stack)
        older_serves = stack.enter_context(ExitStack())
        front.lead_to("older", older_serves.enter_context(serving(older)))
        url = f"http://127.0.0.1:{front.port}"
        with httpx.Client(base_url=url) as http:
            gateway = Gateway(http)
        apps = [Holder(APP, older.issue(user, APP)[1], url=url, gateway=gateway) for user in users]
        services = [
            Holder(SERVICE, older.issue(user, SERVICE, scope="api:admin")[1], url=url, gateway=gateway, secret=SECRET)
            for user in users[:SESSIONS_OF_SERVICES]
        ]
        holders = apps + services
        sleeper = Holder(APP, older.issue(users[0], APP)[1], url=url, gateway=gateway)  # opens the app a week later
        stop = stack.enter_context(running(holders))
        wait_for(lambda: all(holder.seen["older"] >= 2 for holder in holders))

        arguments = ("import_older_service", "--db", older.url, "--key", str(pem))
        assert f"users brought in {USERS}" in " ".join(server.manage(*arguments).split())
        newcomer = older.add_user("newcomer")
        holders.append(late := Holder(APP, older.issue(newcomer, APP)[1], url=url, gateway=gateway))
        front.close()
        older_serves.close()
        said = " ".join(server.manage(*arguments, "--wait").split())
        front.lead_to("new", server.port)
        late_thread = threading.Thread(target=late.run, args=(stop,))
        late_thread.start()
        wait_for(lambda: all(holder.seen["new"] >= 3 or holder.refused for holder in holders))
        with httpx.Client(base_url=url, timeout=30) as http:
            sleeper.refresh(http)
            form = {"grant_type": "password", "username": "newcomer@example.com", "password": PASSWORD, "client_id": APP}
            signed_in = http.post("/oauth/token", data=form)
        stop.set()
        late_thread.join()

    assert "users brought in 1" in said
    assert "key 2024-01-key-1: signs." in said
    assert [holder.refused for holder in [*holders, sleeper] if holder.refused] == []  # users logged out: 0
    assert [holder.unverifiable for holder in [*holders, sleeper] if holder.unverifiable] == []  # tokens that fail to verify: 0
    assert sleeper.seen == {"new": 1}
    assert signed_in.status_code == 200, signed_in.text
    assert gateway.accepts(signed_in.json()["access_token"])


@contextmanager
def running(holders):
    """Each in a thread of its own, until the event is set, which is set at the end at the latest."""
    stop = threading.Event()
    threads = [threading.Thread(target=holder.run, args=(stop,)) for holder in holders]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
