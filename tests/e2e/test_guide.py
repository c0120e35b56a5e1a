"""The Python code of the integration guide, run as it is printed there.

`guide/` holds it word for word. What is changed on the way is the server's address, and for the
validator the two lines that the guide leaves to its reader.
"""

import ast
import base64
import json
import runpy
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.e2e.calls import refresh, sign_in, verified_claims
from tests.e2e.servers import clean_environment, run, serving
from tests.postgres import free_port

PRINTED_URL = "http://localhost"
VALIDATOR_PREAMBLE = """\
from datetime import datetime, timedelta
from fastapi import FastAPI
app = FastAPI()
"""


def printed(name, server):
    code = (Path(__file__).parent / "guide" / name).read_text(encoding="utf-8")
    assert PRINTED_URL in code
    return code.replace(PRINTED_URL, server.base_url)


# --- The client ---------------------------------------------------------------------------------
@pytest.fixture
def make_auth_client(server, tmp_path):
    path = tmp_path / "auth_client.py"
    path.write_text(printed("auth_client.py", server), encoding="utf-8")
    return runpy.run_path(str(path))["AuthClient"]


@pytest_asyncio.fixture
async def auth(make_auth_client):
    client = make_auth_client()
    yield client
    await client.close()


@pytest_asyncio.fixture
async def signed_in_auth(auth):
    assert await auth.login("user@example.com", "password123")
    return auth


@pytest.mark.asyncio
async def test_the_client_signs_in_and_gets_a_token_with_both_scopes(auth, http):
    signed_in = await auth.login("user@example.com", "password123")

    assert signed_in is True
    (claims,) = verified_claims(http, [await auth.get_valid_token()])
    assert claims["scope"] == "api:read api:write"
    assert claims["client_id"] == "codelab-python-client"


@pytest.mark.asyncio
async def test_the_client_keeps_a_token_that_is_fresh(signed_in_auth):
    token = signed_in_auth.access_token

    assert await signed_in_auth.get_valid_token() == token


@pytest.mark.asyncio
async def test_the_client_refreshes_a_token_that_is_about_to_expire(signed_in_auth, http):
    old_access_token, old_refresh_token = signed_in_auth.access_token, signed_in_auth.refresh_token
    signed_in_auth.token_expiry -= timedelta(hours=1)

    token = await signed_in_auth.get_valid_token()

    assert token not in {None, old_access_token}
    assert signed_in_auth.refresh_token not in {None, old_refresh_token}
    before, after = verified_claims(http, [old_access_token, token])
    assert (after["sub"], after["sid"]) == (before["sub"], before["sid"])


@pytest.mark.asyncio
async def test_the_client_refreshes_ten_times_in_a_row(signed_in_auth):
    seen = {signed_in_auth.refresh_token}

    for _ in range(10):
        signed_in_auth.token_expiry -= timedelta(hours=1)
        assert await signed_in_auth.get_valid_token()
        seen.add(signed_in_auth.refresh_token)

    assert len(seen) == 11


@pytest.mark.asyncio
async def test_a_wrong_password_is_told_and_signs_nobody_in(auth, capsys):
    signed_in = await auth.login("user@example.com", "not the password")

    assert signed_in is False
    said = capsys.readouterr().out
    assert said.startswith("Login failed: ")
    assert ast.literal_eval(said.removeprefix("Login failed: "))["error"] == "invalid_grant"
    assert await auth.get_valid_token() is None


@pytest.mark.asyncio
async def test_a_refresh_token_that_mallory_used_before_clears_the_clients_tokens(signed_in_auth, make_auth_client):
    mallory = make_auth_client()
    mallory.access_token, mallory.refresh_token = signed_in_auth.access_token, signed_in_auth.refresh_token
    assert await mallory._refresh_token() is True

    refreshed = await signed_in_auth._refresh_token()

    assert refreshed is False
    assert (signed_in_auth.access_token, signed_in_auth.refresh_token, signed_in_auth.token_expiry) == (None, None, None)
    assert await signed_in_auth.get_valid_token() is None
    assert await mallory._refresh_token() is False
    await mallory.close()


def test_the_program_prints_the_users_sessions(server, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(printed("auth_client.py", server) + "\n" + printed("main.py", server), encoding="utf-8")

    said = run([sys.executable, program.name], cwd=tmp_path, environment=clean_environment())

    listed = ast.literal_eval(said)["results"]
    assert [session["client"] for session in listed if session["current"]] == ["codelab-python-client"]


# --- The integration test ------------------------------------------------------------------------
def test_the_integration_test_passes(server, tmp_path):
    (tmp_path / "test_full_auth_flow.py").write_text(printed("full_auth_flow.py", server), encoding="utf-8")

    said = run([sys.executable, "-m", "pytest", "--rootdir", str(tmp_path)], cwd=tmp_path, environment=clean_environment())

    assert "1 passed" in said


# --- The validator of a backend service ----------------------------------------------------------
@pytest.fixture(scope="module")
def backend(server, tmp_path_factory):
    """A service that guards its endpoint with the guide's validator."""
    folder, port = tmp_path_factory.mktemp("backend"), free_port()
    (folder / "app.py").write_text(VALIDATOR_PREAMBLE + printed("jwt_validator.py", server), encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    base_url = f"http://127.0.0.1:{port}"
    with (
        serving(command, cwd=folder, environment=clean_environment(), log=folder / "backend.log", ready_url=f"{base_url}/openapi.json"),
        httpx.Client(base_url=base_url, timeout=20) as client,
    ):
        yield client


def ask(backend, authorization):
    return backend.get("/api/v1/protected", headers={"Authorization": authorization})


def test_the_validator_lets_a_valid_token_in(backend, http):
    token = sign_in(http)["access_token"]

    answer = ask(backend, f"Bearer {token}")

    (claims,) = verified_claims(http, [token])
    assert answer.status_code == 200
    assert answer.json() == {"message": f"Hello, user {claims['sub']}", "scopes": ["api:read", "api:write"]}


def test_the_validator_lets_a_refreshed_token_in(backend, http):
    tokens = refresh(http, sign_in(http)["refresh_token"]).json()

    assert ask(backend, f"Bearer {tokens['access_token']}").status_code == 200


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "e30.e30.e30"])
def test_the_validator_refuses_garbage(backend, token):
    assert ask(backend, f"Bearer {token}").status_code == 401


def test_the_validator_refuses_a_token_whose_claims_were_changed(backend, http):
    header, claims, signature = sign_in(http)["access_token"].split(".")
    forged = unpacked(claims) | {"scope": "api:read api:write auth:admin"}

    answer = ask(backend, f"Bearer {header}.{packed(forged)}.{signature}")

    assert answer.status_code == 401


def test_the_validator_refuses_a_token_that_says_it_is_unsigned(backend, http):
    header, claims, _ = sign_in(http)["access_token"].split(".")

    answer = ask(backend, f"Bearer {packed(unpacked(header) | {'alg': 'none'})}.{claims}.")

    assert answer.status_code == 401


def test_the_validator_refuses_a_refresh_token(backend, http):
    assert ask(backend, f"Bearer {sign_in(http)['refresh_token']}").status_code == 401


def test_the_validator_refuses_another_scheme(backend, http):
    assert ask(backend, f"Basic {sign_in(http)['access_token']}").status_code == 401


def test_the_validator_asks_for_the_header(backend):
    assert backend.get("/api/v1/protected").status_code == 422


def unpacked(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def packed(fields):
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
