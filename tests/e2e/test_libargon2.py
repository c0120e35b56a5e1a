"""A server whose operator has named Argon2's reference library, as `make argon2` leaves it."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests import libargon2
from tests.e2e import calls
from tests.e2e.servers import ROOT, clean_environment, run
from tests.postgres import free_port


def test_who_signs_in_is_hashed_by_the_library_that_the_operator_named(start_server):
    library = libargon2.library()
    server = start_server(AUTH_SERVICE__LIBARGON2=libargon2.NAME, LD_LIBRARY_PATH=str(libargon2.folder()))

    with httpx.Client(base_url=server.base_url, timeout=20) as http:
        assert [calls.sign_in(http)["token_type"] for _ in range(4)] == ["Bearer"] * 4
        wrong = http.post("/oauth/token", data=calls.SIGN_IN_FORM | {"password": "a wrong password"})

    assert wrong.json()["error"] == "invalid_grant"
    assert len(processes_with(library) - {str(os.getpid())}) >= 2  # the master and who serves
    assert "libsodium" not in server.output()


def processes_with(library: Path) -> set[str]:
    """Those that have it loaded."""
    return {maps.parent.name for maps in Path("/proc").glob("[0-9]*/maps") if str(library) in text_of(maps)}


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # it has ended meanwhile, or is somebody else's
        return ""


@pytest.mark.parametrize("command", [["-m", "gunicorn", "-c", "authserver/gunicorn.py"], ["manage.py", "bootstrap", "--demo"]])
def test_what_is_no_argon2_ends_what_would_hash_by_it_with_one_line(tmp_path, command):
    settings = {"ENVIRONMENT": "development", "AUTH_SERVICE__DATA_DIR": str(tmp_path), "AUTH_SERVICE__LIBARGON2": "libc.so.6"}
    environment = clean_environment(AUTH_SERVICE__PORT=str(free_port()), **settings)
    run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, environment=environment | {"AUTH_SERVICE__LIBARGON2": ""})

    ended = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode != 0
    assert "AUTH_SERVICE__LIBARGON2 names libc.so.6, but it has no argon2_ctx. Build it with deploy/build_argon2.py" in ended.stderr
    assert "Traceback" not in ended.stderr
