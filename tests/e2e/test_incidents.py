"""What to do in an incident, and a backup of SQLite while the server writes, as docs/operations.md prints it."""

import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import jwt
import pytest

from tests.container.operations import blocks
from tests.e2e.admin import admin_token
from tests.e2e.calls import SIGN_IN_FORM, sign_in
from tests.e2e.console import Console, Refreshing, assert_keeps_the_last_whole_one
from tests.e2e.servers import Server

ENCRYPTION_KEY = secrets.token_hex(32)


@pytest.fixture(scope="module")
def served(start_server: Callable[..., Server]) -> Server:
    """A server of this module's own, on SQLite: its secrets and keys change."""
    return start_server(postgres_url="", AUTH_SERVICE__KEY_ENCRYPTION_KEYS=ENCRYPTION_KEY)


@pytest.fixture(scope="module")
def console(served: Server, tmp_path_factory: pytest.TempPathFactory) -> Console:
    return Console.beside(served, tmp_path_factory.mktemp("console"))


@pytest.fixture
def owner_token(served: Server) -> str:
    return admin_token(served)


def test_a_file_of_sqlite_is_backed_up_whole_while_the_server_writes_to_it(served: Server, console: Console, tmp_path: Path) -> None:
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        tokens = sign_in(http)
        with Refreshing(tokens["refresh_token"], http=http) as one:
            console.paste("Back up SQLite", DB_FILE=f"{served.folder}/auth.db")
    for part in ("", "-wal", "-shm"):
        (tmp_path / f"auth.db{part}").write_text("of before", "utf-8")
    console.paste("Restore SQLite", DB_FILE=f"{tmp_path}/auth.db")

    sid = jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"].replace("-", "")
    assert sorted(re.sub(r"[\dT-]+Z", "", path.name) for path in tmp_path.iterdir()) == [
        "auth.db",
        "auth.db.",
        "auth.db.-shm",
        "auth.db.-wal",
    ]
    with closing(sqlite3.connect(tmp_path / "auth.db")) as restored:
        [generation] = restored.execute("SELECT generation FROM oauth_session WHERE id = ?", [sid]).fetchone()
        assert restored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert one.refreshes > 1
    assert 0 <= one.refreshes - generation <= 16


def test_a_copy_of_the_file_replaces_the_one_before_only_when_it_is_whole(served: Server, console: Console, tmp_path: Path) -> None:
    assert_keeps_the_last_whole_one(
        console,
        "auth.db.backup",
        *blocks("sh", heading="Back up SQLite"),
        database={"DB_FILE": f"{served.folder}/auth.db"},
        away={"DB_FILE": f"{tmp_path}/auth.db"},
    )


def test_a_signing_key_that_has_leaked_is_out_of_the_key_set_within_a_second(served: Server, console: Console) -> None:
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        kid = jwt.get_unverified_header(sign_in(http)["access_token"])["kid"]

        console.paste("A signing key has leaked")

        wait_for(lambda: kid not in {each["kid"] for each in http.get("/.well-known/jwks.json").json()["keys"]})
        assert jwt.get_unverified_header(sign_in(http)["access_token"])["kid"] != kid


def test_other_encryption_keys_open_what_the_old_ones_encrypted(served: Server, console: Console) -> None:
    folder = console.folder / "secrets"
    folder.mkdir()
    file = folder / "key-encryption-keys"
    file.write_text(f"{ENCRYPTION_KEY}\n", "utf-8")
    file.chmod(0o644)
    before = file.stat()
    files = {"AUTH_SERVICE__KEY_ENCRYPTION_KEYS": "", "AUTH_SERVICE__KEY_ENCRYPTION_KEYS_FILE": f"{file}"}
    in_front, restart, encrypt, away = blocks("sh", heading="The key-encryption keys have leaked")

    console.paste("The token keys have leaked")
    console.run(in_front)
    new, old = file.read_text("utf-8").split()
    assert restart == "systemctl restart authserver\n"
    said = console.run(encrypt, **files)
    console.run(away)

    assert re.search(r"[1-9]", said), said
    assert old == ENCRYPTION_KEY
    assert file.read_text("utf-8") == f"{new}\n"
    assert (file.stat().st_ino, file.stat().st_mode) == (before.st_ino, before.st_mode)  # a container sees this file and no other
    assert not (folder / "key-encryption-keys.new").exists()
    assert re.search(r"\b0\b", console.run(encrypt, **files))  # all open with the new value alone, and none is left to encrypt
    # Back again, for the server that serves.
    back = {"AUTH_SERVICE__KEY_ENCRYPTION_KEYS": f"{ENCRYPTION_KEY},{new}"}
    assert console.run(".venv/bin/python manage.py reencrypt_signing_keys", **back) == said
    assert len((folder / "token-keys").read_text("utf-8").strip()) == 64


def test_who_got_in_by_a_spray_is_found_and_shut_out(served: Server, console: Console, owner_token: str) -> None:
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        form = SIGN_IN_FORM | {"username": "test@example.com", "password": "test123"}
        user_id = jwt.decode(http.post("/oauth/token", data=form).json()["access_token"], options={"verify_signature": False})["sub"]
        with closing(sqlite3.connect(served.folder / "auth.db", isolation_level=None)) as database:
            database.execute(SPRAYED)
        script, lock = blocks("sh", heading="Passwords are sprayed")

        said = console.run(script, NETWORK="127.0.0.")
        assert f'"actor_id":"{user_id}"\n' in said
        assert re.search(r'^ +1 "target":"127.0.0.0/24"$', said, re.MULTILINE)
        console.run(on(served, lock), USER_ID=user_id, ADMIN_TOKEN=owner_token)

        assert http.post("/oauth/token", data=form).json()["error"] == "invalid_grant"


SPRAYED = """
INSERT INTO accounts_auditevent (at, event, target, client_id, user_agent, error_id, detail)
VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now'), 'network:password_spraying:detected', '127.0.0.0/24', '', '', '', '{"names": 20}')"""


def test_an_administrator_who_was_taken_over_is_alone_again_and_their_acts_are_told(
    served: Server, console: Console, owner_token: str
) -> None:
    admin_id = jwt.decode(owner_token, options={"verify_signature": False})["sub"]
    with httpx.Client(base_url=served.base_url, timeout=20, headers={"Authorization": f"Bearer {owner_token}"}) as http:
        assert http.post("/api/v1/admin/roles", json={"name": "thief", "reason": "a test"}).status_code == 201

        said = console.paste("An administrator was taken over", ADMIN="admin", ADMIN_ID=admin_id, typed="a new pass phrase\n" * 2)

        assert "admin has another password." in said
        assert '1 "event":"role:registration:created"' in said
        assert http.get("/api/v1/admin/roles").status_code == 401


def test_the_secret_of_a_client_that_has_leaked_works_no_more(served: Server, console: Console) -> None:
    said = console.paste("The secret of a client has leaked", CLIENT="codelab-internal")

    [secret] = re.findall(r"client_secret +(\S+)", said)
    with httpx.Client(base_url=served.base_url, timeout=20) as http:
        form = {"grant_type": "client_credentials"}
        assert http.post("/oauth/token", data=form, auth=("codelab-internal", secret)).status_code == 200


def on(served: Server, script: str) -> str:
    """The script for this server instead of the one that the page names."""
    return script.replace("curl ", "curl --silent --show-error --fail-with-body ").replace("http://localhost:8003", served.base_url)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
