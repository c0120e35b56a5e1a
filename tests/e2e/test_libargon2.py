"""A server whose operator has named Argon2's reference library, as `make argon2` leaves it."""

import os
from pathlib import Path

import httpx

from tests import libargon2
from tests.e2e import calls


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
