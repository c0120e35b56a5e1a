"""What a server does about its signing keys before it serves, and that it says what is wrong instead of serving without."""

import secrets
import subprocess
import time

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.e2e.servers import ROOT, clean_environment, migrated_file, server_command, serving
from tests.postgres import free_port

GUNICORN = server_command()


@pytest.fixture
def environment(tmp_path):
    """Of a server on a database that is migrated and empty."""
    port = free_port()
    return clean_environment(
        ENVIRONMENT="development",
        AUTH_SERVICE__ENV_FILE="",
        AUTH_SERVICE__PORT=str(port),
        AUTH_SERVICE__DATA_DIR=str(tmp_path),
        AUTH_SERVICE__SECRET_KEY=secrets.token_urlsafe(48),
        AUTH_SERVICE__DB_URL=migrated_file(tmp_path),
    )


def ready_url(environment):
    return f"http://localhost:{environment['AUTH_SERVICE__PORT']}/ready"


def keys_of(environment, folder):
    with serving(GUNICORN, cwd=ROOT, environment=environment, log=folder / "log", ready_url=ready_url(environment)):
        return httpx.get(ready_url(environment).replace("/ready", "/.well-known/jwks.json")).json()["keys"]


def start_in_vain(environment):
    """The lines of a server that refuses to start."""
    done = subprocess.run(GUNICORN, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert done.returncode != 0
    return done.stderr.strip().splitlines()


def test_a_server_makes_its_keys_by_itself(environment, tmp_path):
    assert len(keys_of(environment, tmp_path)) == 2


@pytest.mark.checklist(95)
def test_a_server_with_another_encryption_key_does_not_start_and_says_why(environment, tmp_path):
    signing, _standby = keys_of(environment, tmp_path)

    lines = start_in_vain(environment | {"AUTH_SERVICE__KEY_ENCRYPTION_KEYS": secrets.token_urlsafe(48)})

    assert len(lines) == 1
    assert lines[0].startswith(f"authserver: The signing key {signing['kid']} does not open with AUTH_SERVICE__KEY_ENCRYPTION_KEYS.")


def test_a_server_that_brings_a_key_along_signs_with_it_from_the_start(environment, tmp_path):
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "private.pem").write_bytes(pem)
    path = {"AUTH_SERVICE__PRIVATE_KEY_PATH": str(tmp_path / "private.pem")}

    first, _standby = keys_of(environment | path | {"AUTH_SERVICE__PRIVATE_KEY_ID": "2024-01-key-1"}, tmp_path)

    assert first["kid"] == "2024-01-key-1"
    assert pem.decode().splitlines()[1] not in (tmp_path / "log").read_text()
    [kid, *_] = (key["kid"] for key in keys_of(environment, tmp_path))
    assert kid == "2024-01-key-1"


def test_a_server_whose_key_to_bring_along_is_none_does_not_start_and_says_why(environment, tmp_path):
    (tmp_path / "private.pem").write_text("-----BEGIN CERTIFICATE-----\n")

    lines = start_in_vain(environment | {"AUTH_SERVICE__PRIVATE_KEY_PATH": str(tmp_path / "private.pem")})

    assert lines == [
        f"authserver: AUTH_SERVICE__PRIVATE_KEY_PATH names {tmp_path}/private.pem, but it is not a private key in PEM form "
        "(-----BEGIN PRIVATE KEY-----)."
    ]


def test_a_server_that_cannot_look_at_its_keys_yet_starts_and_finds_them_later(environment, tmp_path):
    """As when the database comes up after it. Until then it is an empty one, which nobody has migrated."""
    (tmp_path / "auth.db").rename(tmp_path / "auth.db.away")
    live_url = ready_url(environment).replace("/ready", "/live")
    with serving(GUNICORN, cwd=ROOT, environment=environment, log=tmp_path / "log", ready_url=live_url):
        ready = httpx.get(ready_url(environment))
        assert (ready.status_code, ready.json()["signing_key"]) == (503, "missing")
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"auth.db{suffix}").unlink(missing_ok=True)
        (tmp_path / "auth.db.away").rename(tmp_path / "auth.db")

        deadline = time.monotonic() + 20
        while httpx.get(ready_url(environment)).status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.1)

        assert httpx.get(ready_url(environment)).status_code == 200
    told = "The signing keys could not be looked at: the database has no tables of this server; manage.py migrate makes them\n"
    assert (tmp_path / "log").read_text().count(told) == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
