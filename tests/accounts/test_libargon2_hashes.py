"""The library that an operator names computes this server's own hashes, and is proved before (accounts/libargon2.py).

The name of this module has "hash" in it, so the real hasher runs here (tests/conftest.py).
"""

import logging
import os
import re
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from argon2 import low_level
from django.contrib.auth.hashers import Argon2PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import pwhash

from accounts import hash_slots, libargon2
from accounts.hashers import Argon2idHasher
from oauth.doctor import work
from oauth.doctor.findings import Level
from tests import libargon2 as built
from tests.accounts.attempts import authenticate
from tests.accounts.test_hashers import CORRUPT, OLDER_HASHES, give_hash, stored_hash
from tests.conftest import PASSWORD
from tests.e2e.servers import clean_environment

PASSWORDS = ["", "x", PASSWORD, "длинный пароль", "🔑" * 20, "nul\0inside", "\0", "p" * 1024]
OWN = {"memory_kib": 19456, "passes": 2, "length": 32}
SALT = b"sixteen bytes...".ljust(16)


@pytest.fixture
def library():
    """Just loaded."""
    return libargon2.Library(str(built.library()))


@cache
def library_of_the_run():
    return libargon2.Library(str(built.library()))


@pytest.fixture
def named(settings):
    """Name a library as an operator would, or none; gives what is used then."""

    def name(value):
        settings.LIBARGON2 = str(value)
        libargon2.named.cache_clear()
        return libargon2.named()

    yield name
    libargon2.named.cache_clear()


@pytest.fixture
def computed_by_libsodium(monkeypatch):
    """Counts what libsodium is asked to compute; it computes all the same."""
    counted = []
    for place, name in ((pwhash, "verify"), (pwhash.argon2id, "kdf")):
        compute = getattr(place, name)
        monkeypatch.setattr(
            place, name, lambda *args, _name=name, _compute=compute, **kwargs: counted.append(_name) or _compute(*args, **kwargs)
        )
    return counted


def by_libsodium(password, salt, *, memory_kib, passes, length):
    return pwhash.argon2id.kdf(length, password, salt, opslimit=passes, memlimit=memory_kib * 1024)


def by_argon2_cffi(password, salt, *, memory_kib, passes, length):
    return low_level.hash_secret_raw(password, salt, passes, memory_kib, 1, length, low_level.Type.ID)


# --- What it computes ----------------------------------------------------------------------------


@given(
    password=st.binary(max_size=1100),
    salt=st.binary(min_size=16, max_size=16),
    memory_kib=st.integers(8, 300),
    passes=st.integers(1, 4),
    length=st.sampled_from([16, 32, 64]),
)
@settings(max_examples=60, deadline=None)
def test_it_computes_what_libsodium_and_argon2_cffi_compute(password, salt, **cost):
    tag = library_of_the_run().argon2id(password, salt, **cost)

    assert tag == by_libsodium(password, salt, **cost)
    assert tag == by_argon2_cffi(password, salt, **cost)


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_hash_of_either_verifies_by_the_other(named, password):
    hasher = Argon2idHasher()
    of_libsodium = hasher.encode(password, hasher.salt())
    assert named(built.library())

    of_the_library = hasher.encode(password, hasher.salt())

    for encoded in (of_libsodium, of_the_library):
        assert hasher.verify(password, encoded)
        assert not hasher.verify(password + "x", encoded)
    assert Argon2PasswordHasher().verify(password, of_the_library)
    assert named("") is None
    assert hasher.verify(password, of_the_library)
    assert not hasher.verify(password + "x", of_the_library)


def test_its_hashes_are_compared_in_constant_time(named, monkeypatch):
    hasher, compared, compare = Argon2idHasher(), [], secrets.compare_digest
    assert named(built.library())
    encoded = hasher.encode(PASSWORD, hasher.salt())
    monkeypatch.setattr(secrets, "compare_digest", lambda one, other: compared.append(other) or compare(one, other))

    assert hasher.verify(PASSWORD, encoded)
    assert compared == [encoded]


def test_threads_at_once_get_each_their_own(library):
    passwords = [b"password %d" % number for number in range(24)]

    with ThreadPoolExecutor(4) as pool:
        tags = list(pool.map(lambda password: library.argon2id(password, SALT, memory_kib=2048, passes=2, length=32), passwords))

    assert tags == [by_libsodium(password, SALT, memory_kib=2048, passes=2, length=32) for password in passwords]
    assert len(library._kept) <= hash_slots.slots.slots


def test_somebody_signs_in_without_libsodium(named, alice, computed_by_libsodium):
    assert named(built.library())
    computed_by_libsodium.clear()

    assert authenticate("alice", password=PASSWORD).user == alice
    assert computed_by_libsodium == []


def test_the_doctor_holds_it_beside_libsodium(named):
    assert named(built.library())

    [finding] = work.argon2()

    # Which of them was faster just now is not asked: the machine may be busy.
    assert finding.level in {Level.OK, Level.WARN}
    assert re.fullmatch(rf"{built.library()} computes, and takes \d+ ms of a core where libsodium takes \d+\.", finding.found)


# --- What stays with libsodium -------------------------------------------------------------------


@pytest.mark.parametrize("older_hash", OLDER_HASHES[:1])
@pytest.mark.django_db
def test_a_hash_of_another_cost_verifies_by_libsodium_and_is_renewed_by_the_library(named, alice, computed_by_libsodium, older_hash):
    give_hash(alice, older_hash(PASSWORD))
    assert named(built.library())
    computed_by_libsodium.clear()

    authenticate("alice", password=PASSWORD)

    assert computed_by_libsodium == ["verify"]
    assert stored_hash(alice).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_of_argon2i_or_of_another_length_verifies_by_libsodium(named, computed_by_libsodium):
    cost = {"time_cost": 3, "memory_cost": 19456, "parallelism": 1}
    of_another_kind = low_level.hash_secret(b"password", SALT, hash_len=32, type=low_level.Type.I, **cost).decode()
    shorter = low_level.hash_secret(b"password", SALT, hash_len=16, type=low_level.Type.ID, **cost | {"time_cost": 2}).decode()
    assert named(built.library())
    computed_by_libsodium.clear()

    assert all(Argon2idHasher().verify("password", f"argon2{encoded}") for encoded in (of_another_kind, shorter))
    assert computed_by_libsodium == ["verify", "verify"]


def test_what_is_no_hash_is_a_wrong_password_by_either(named):
    hasher = Argon2idHasher()
    good = hasher.encode(PASSWORD, hasher.salt())
    head, salt, digest = good.rsplit("$", 2)
    # The last letters with other bits, where they count for nothing; other letters; more and fewer of them.
    broken = [f"{head}${salt[:-1]}{chr(ord(salt[-1]) + 1)}${digest}", f"{head}${salt}${digest[:-1]}{chr(ord(digest[-1]) + 1)}"]
    broken += [f"{good}A", good[:-1], f"{good}\n", f"{good}=", f"{head}$${digest}", f"{head}${salt}$", f"{head}${salt}$é{digest[1:]}"]
    broken += [good.replace("m=19456", "m=0019456"), good.replace("m=19456", "m=١٩٤٥٦"), good.replace("p=1", "p=01")]
    broken += [text for text in CORRUPT if text.startswith("argon2$")]
    assert named(built.library())

    assert [text for text in broken if hasher.verify(PASSWORD, text)] == []
    assert named("") is None
    assert [text for text in broken if hasher.verify(PASSWORD, text)] == []


# --- The memory ----------------------------------------------------------------------------------


def test_memory_is_kept_for_the_next_hash_and_nothing_of_the_last_one_is_in_it(library):
    library.argon2id(b"a password", SALT, **OWN)
    kept = list(library._kept)

    library.argon2id(b"another password", SALT, **OWN)

    assert list(library._kept) == kept
    assert len(kept) == 1
    assert kept[0].mapped[:] == bytes(19456 * 1024)


def test_memory_of_another_size_is_not_used(library):
    library.argon2id(b"password", SALT, memory_kib=64, passes=1, length=32)

    assert library.argon2id(b"password", SALT, **OWN) == by_libsodium(b"password", SALT, **OWN)
    assert [memory.kib for memory in library._kept] == [19456]


def test_a_hash_that_failed_keeps_no_memory(library):
    library.argon2id(b"password", SALT, **OWN)

    with pytest.raises(RuntimeError, match="argon2_ctx gave -6"):
        library.argon2id(b"password", b"short", **OWN)

    assert not library._kept


def test_memory_that_was_kept_when_processes_parted_is_each_ones_own(library):
    library.argon2id(b"password", SALT, **OWN)
    [memory] = library._kept

    child = os.fork()
    if not child:
        is_right = library.argon2id(b"of the child", SALT, **OWN) == by_libsodium(b"of the child", SALT, **OWN)
        memory.mapped[:5] = b"child"
        os._exit(0 if is_right else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert memory.mapped[:5] == bytes(5)
    assert library.argon2id(b"of the parent", SALT, **OWN) == by_libsodium(b"of the parent", SALT, **OWN)


# --- What is not used ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (built.of_nothing, "it computes other hashes than RFC 9106"),
        (built.leaky, "it leaves behind what it has computed with"),
        (built.refusing, "argon2_ctx gave -22"),
        (lambda: "libc.so.6", "it has no argon2_ctx"),
    ],
    ids=["of nothing", "leaky", "refusing", "another library"],
)
def test_a_library_that_is_not_what_it_should_be_is_refused(named, make, reason):
    with pytest.raises(libargon2.Unproven, match=reason):
        named(make())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: "/nowhere/libargon2.so.1", "cannot open shared object file"),
        (lambda: Path(__file__), "invalid ELF header|file too short"),
    ],
    ids=["missing", "no library"],
)
def test_libsodium_serves_where_the_library_does_not_and_the_log_says_so_once(named, caplog, computed_by_libsodium, make, reason):
    path = make()
    computed_by_libsodium.clear()

    with caplog.at_level(logging.WARNING, logger="accounts.libargon2"):
        used = named(path)
        hasher = Argon2idHasher()
        encoded = hasher.encode(PASSWORD, hasher.salt())
        assert hasher.verify(PASSWORD, encoded)

    assert used is None
    assert computed_by_libsodium[-2:] == ["kdf", "verify"]
    [record] = caplog.records
    assert "docs/operations.md" in record.message
    assert re.search(reason, record.reason)


def start(folder, **variables):
    """Load the application as a server does before its processes part."""
    environment = clean_environment(ENVIRONMENT="development", AUTH_SERVICE__ENV_FILE="", AUTH_SERVICE__DATA_DIR=str(folder), **variables)
    command = [sys.executable, "-c", "import authserver.wsgi"]
    return subprocess.run(command, cwd=built.ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_server_does_not_start_with_a_library_that_computes_something_else(tmp_path):
    path = built.of_nothing()

    done = start(tmp_path, AUTH_SERVICE__LIBARGON2=str(path))

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"authserver: AUTH_SERVICE__LIBARGON2 names {path}, but it computes other hashes than RFC 9106.")
    assert "deploy/build_argon2.py" in line


def test_a_server_starts_on_a_processor_for_which_there_is_no_library(tmp_path):
    older = {"LD_LIBRARY_PATH": str(built.folder()), "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2"}

    done = start(tmp_path, AUTH_SERVICE__LIBARGON2=built.NAME, **older)

    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert "WARNING" in line
    assert "libsodium computes the password hashes" in line
    assert "cannot open shared object file" in line
