"""The messages and the settings of the integration guide: each message is provoked, each block of settings starts a server."""

import io
import json
import logging
import re
import secrets
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from dotenv import dotenv_values
from fastapi.testclient import TestClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.e2e.guide_pages import ENGLISH, PACKAGES, bearer, blocks_of, sign_in
from tests.e2e.servers import ROOT, clean_environment, run, server_command, serving
from tests.postgres import free_port
from tests.project.test_docs import start_with

SECRET = re.compile(r"<secret>")


# --- Settings -------------------------------------------------------------------------------------


def settings_block(title):
    [block] = [block for block in blocks_of(ENGLISH, "env") if block.title == title]
    return SECRET.sub(lambda _: secrets.token_urlsafe(48), block.text)


def settings_of(demo):
    return demo.programs["authserver"].environment


@contextmanager
def server_with(text, demo, folder, *, ready_path, **changes):
    """The address of a server that these settings start, on the database of the demo. `changes` win over the text."""
    file, port = folder / ".env", free_port()
    file.write_text(text, encoding="utf-8")
    environment = clean_environment(
        AUTH_SERVICE__ENV_FILE=str(file),
        AUTH_SERVICE__PORT=str(port),
        AUTH_SERVICE__DATA_DIR=str(demo.folder),
        WEB_CONCURRENCY="1",
        AUTH_SERVICE__DB_URL=settings_of(demo)["AUTH_SERVICE__DB_URL"],
        **changes,
    )
    url = f"http://localhost:{port}"
    command = server_command()
    with serving(command, cwd=ROOT, environment=environment, log=folder / "server.log", ready_url=url + ready_path):
        yield url


@pytest.fixture(scope="module")
def short_lived(demo, tmp_path_factory):
    """Development as the guide configures it, but for the issuer, which is the demo's, and for tokens that end soon."""
    changes = {"AUTH_SERVICE__JWT_ISSUER": demo.base_url, "AUTH_SERVICE__ACCESS_TOKEN_LIFETIME": "3"}
    with server_with(settings_block("Development"), demo, tmp_path_factory.mktemp("development"), ready_path="/ready", **changes) as url:
        yield url


@pytest.fixture(scope="module")
def production(demo, tmp_path_factory):
    """Production as the guide configures it, but for the key that opens the signing keys in the demo's database."""
    [key] = start_with(dict(settings_of(demo)))["KEY_ENCRYPTION_KEYS"]
    changes = {"AUTH_SERVICE__KEY_ENCRYPTION_KEYS": key}
    with server_with(settings_block("Production"), demo, tmp_path_factory.mktemp("production"), ready_path="/live", **changes) as url:
        yield url


def test_every_block_of_settings_is_looked_at():
    assert [block.title for block in blocks_of(ENGLISH, "env")] == ["Verifying tokens in a backend", "Development", "Production"]


@pytest.mark.parametrize(("title", "environment"), [("Development", "development"), ("Production", "production")])
def test_the_settings_are_read_as_they_are_meant(title, environment):
    values = dotenv_values(stream=io.StringIO(settings_block(title)))

    read = start_with(values)

    assert read["ENVIRONMENT"] == environment
    assert read["JWT_ISSUER"] == values["AUTH_SERVICE__JWT_ISSUER"]
    assert (read["ACCESS_TOKEN_LIFETIME"], read["REFRESH_TOKEN_LIFETIME"]) == (timedelta(minutes=15), timedelta(days=30))
    assert read["REQUIRE_HTTPS"] is (title == "Production")


def test_the_settings_of_production_pass_the_checks_of_a_deployment(tmp_path):
    (tmp_path / ".env").write_text(settings_block("Production"), encoding="utf-8")
    environment = clean_environment(AUTH_SERVICE__ENV_FILE=str(tmp_path / ".env"), AUTH_SERVICE__DATA_DIR=str(tmp_path))

    run([sys.executable, "manage.py", "check", "--deploy"], cwd=ROOT, environment=environment)


def test_the_settings_of_development_start_a_server_that_signs_in(short_lived):
    assert sign_in(short_lived)["expires_in"] == 3


# --- Messages -------------------------------------------------------------------------------------


def test_every_message_comes_from_the_server_as_it_is_printed(demo, short_lived, production, caplog, monkeypatch):
    for package in PACKAGES:
        monkeypatch.syspath_prepend(package)
    caplog.set_level(logging.INFO, logger="authserver_verifier")
    bodies = [*refused_by_the_api(demo), *refused_at_sign_in(demo), *refused_in_production(demo, production)]
    reused = spent_twice(demo)
    texts = [*caplog.messages, explained(demo, reused["error_id"]), how_a_socket_ends(demo, short_lived), *why_it_does_not_start()]

    for block in blocks_of(ENGLISH, "json"):
        printed = json.loads(block.text)
        assert any(printed.items() <= body.items() for body in [*bodies, reused]), f"nobody says {printed}"
    for line in "".join(block.text for block in blocks_of(ENGLISH, "text")).splitlines():
        assert any(line in text for text in texts), f"nobody says {line}"


def refused_by_the_api(demo):
    """Also logs the reason of the first."""
    from authserver_verifier import Rules, Verifier
    from resource_server.application import create_app

    elsewhere = Verifier(Rules("http://localhost:8003", "codelab-api"), jwks_url=f"{demo.base_url}/.well-known/jwks.json")
    tokens = sign_in(demo.base_url, scope="api:read")
    with TestClient(create_app(elsewhere)) as api:
        yield api.get("/api/v1/protected", headers=bearer(tokens["access_token"])).json()
    yield httpx.get(f"{demo.base_url}/api/v1/protected").json()
    yield httpx.post(f"{demo.base_url}/api/v1/sessions", headers=bearer(tokens["access_token"])).json()


def refused_at_sign_in(demo):
    """Asked of the server behind the gateway, which believes who names an address: nobody else's failures are counted with these."""
    form = {"grant_type": "password", "client_id": "test-client", "username": "nobody@example.com", "password": "wrong"}
    url = f"http://localhost:{demo.ports.authserver}/oauth/token"
    stranger = {"X-Forwarded-For": f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"}

    def ask(headers=stranger, **changes):
        return httpx.post(url, data=form | changes, headers=headers, timeout=20).json()

    yield ask(scope="auth:admin", username="test@example.com", password="test123")
    yield httpx.post(url, json=form, headers=stranger).json()
    yield ask(grant_type="refresh_token", refresh_token="x", headers=stranger | {"Idempotency-Key": "short"})
    yield ask(client_id="nobody")
    yield the_first("account_locked", ask)
    flood = {"X-Forwarded-For": f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::2"}
    yield the_first("rate_limit_exceeded", lambda: ask(client_id="nobody", headers=flood))


def the_first(error, ask):
    """The answer with this error, of as many as a ceiling or a lock may need to be reached."""
    return next(answer for answer in (ask() for _ in range(60)) if answer["error"] == error)


def refused_in_production(demo, production):
    password = (demo.folder / "admin-password").read_text(encoding="utf-8").strip()
    form = {"grant_type": "password", "client_id": "test-client", "username": "admin", "password": password}
    by_proxy = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}

    yield httpx.post(f"{production}/oauth/token", data=form, headers={"Host": "auth.example.com"}).json()
    yield httpx.post(f"{production}/oauth/token", data=form, headers=by_proxy | {"Host": "another.example.com"}).json()
    yield httpx.post(f"{production}/oauth/token", data=form, headers=by_proxy | {"Host": "auth.example.com"}, timeout=20).json()


def spent_twice(demo):
    form = {"grant_type": "refresh_token", "client_id": "codelab-python-client", "refresh_token": sign_in(demo.base_url)["refresh_token"]}
    answers = [httpx.post(f"{demo.base_url}/oauth/token", data=form, timeout=20) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    return answers[1].json()


def explained(demo, error_id):
    return run([sys.executable, "manage.py", "explain", error_id], cwd=ROOT, environment=dict(settings_of(demo)))


def how_a_socket_ends(demo, short_lived):
    token = sign_in(short_lived)["access_token"]
    url = f"{demo.base_url}/api/v1/ws/my-session".replace("http", "ws", 1)
    with connect(url, additional_headers=bearer(token), proxy=None) as socket:
        assert json.loads(socket.recv(timeout=20))["type"] == "authenticated"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
    return f"{closed.value.rcvd.code} {closed.value.rcvd.reason}"


def why_it_does_not_start():
    for environment in (
        {},
        {"ENVIRONMENT": "development", "AUTH_SERVICE__JWT_ISUER": "http://localhost:8003"},
        {"ENVIRONMENT": "development", "AUTH_SERVICE__ACCESS_TOKEN_LIFETIME": "15m"},
    ):
        variables = clean_environment(AUTH_SERVICE__ENV_FILE="", **environment)
        done = subprocess.run(
            [sys.executable, "manage.py", "check"], cwd=ROOT, env=variables, capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode != 0
        yield done.stderr
