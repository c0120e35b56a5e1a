"""Where tokens are kept: who can read them, and two processes that share them."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import keyring
import pytest
from authserver_client import AuthClient, FileStore, InvalidGrant, KeyringStore, MemoryStore, Tokens
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

TOKENS = Tokens("an access token", "a refresh token", "api:read", 900, 2_000_000_000.5)
PACKAGE = Path(__file__).parent.parent


class Keyring(KeyringBackend):
    """A real backend, that keeps its entries in memory."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.entries = {}

    def get_password(self, service, username):
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self.entries[service, username] = password

    def delete_password(self, service, username):
        if (service, username) not in self.entries:
            raise PasswordDeleteError("no such entry")
        del self.entries[service, username]


@pytest.fixture
def backend():
    before = keyring.get_keyring()
    keyring.set_keyring(backend := Keyring())
    yield backend
    keyring.set_keyring(before)


LASTING = {
    "file": lambda folder: FileStore(folder / "of its own" / "tokens.json"),
    "keyring": lambda _folder: KeyringStore("my-tool", "alice"),
}


@pytest.fixture(params=["memory", *LASTING])
def store(request, backend, tmp_path):
    return MemoryStore() if request.param == "memory" else LASTING[request.param](tmp_path)


def locked(store):
    assert store.try_lock()
    return store


def test_every_store_gives_back_what_it_was_given_and_can_be_emptied_twice(store):
    locked(store)
    assert store.load() is None
    store.save(TOKENS)
    assert store.load() == TOKENS

    store.save(None)
    store.save(None)

    assert store.load() is None


def test_only_one_at_a_time_has_the_lock_of_a_store(store):
    locked(store)
    assert not store.try_lock()

    store.unlock()

    assert store.try_lock()


@pytest.mark.parametrize("make", LASTING.values(), ids=LASTING)
def test_a_client_stays_signed_in_from_one_start_to_the_next(make, backend, tmp_path, server, connect):
    connect(store=make(tmp_path)).sign_in("alice", server.password)

    assert connect(store=make(tmp_path)).access_token() in server.good
    assert len(server.asked) == 1


def test_the_keyring_holds_one_entry_of_the_user_s_own(backend, server):
    with AuthClient(server.url, "editor", store=KeyringStore("my-tool", "alice")) as client:
        client.sign_in("alice", server.password)
        assert [*backend.entries] == [("my-tool", "alice")]

        client.sign_out()

    assert backend.entries == {}


def test_no_file_of_the_store_can_be_read_by_others_even_for_a_moment(tmp_path):
    """With a umask that takes nothing away, and while a thread looks as often as it can."""
    store, modes, done = FileStore(tmp_path / "tokens.json"), set(), threading.Event()

    def look():
        while not done.is_set():
            for entry in os.scandir(tmp_path):
                try:
                    modes.add(stat.S_IMODE(entry.stat().st_mode))
                except FileNotFoundError:
                    continue

    umask = os.umask(0)
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(50):
            locked(store).save(TOKENS)
            store.unlock()
    finally:
        done.set()
        watcher.join()
        os.umask(umask)

    assert modes == {0o600}
    assert {entry.name for entry in tmp_path.iterdir()} == {"tokens.json", "tokens.json.lock"}


def test_a_file_that_others_could_read_is_replaced_by_one_that_they_cannot(tmp_path):
    path = tmp_path / "tokens.json"
    path.write_text(TOKENS.to_json())
    path.chmod(0o644)

    FileStore(path).save(TOKENS)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_reader_finds_the_old_tokens_or_the_new_ones_and_never_half_of_them(tmp_path):
    store, done = FileStore(tmp_path / "tokens.json"), threading.Event()
    store.save(TOKENS)
    read = []

    def look():
        while not done.is_set():
            read.append(store.load())

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(50):
        store.save(TOKENS)
    done.set()
    watcher.join()

    assert set(read) == {TOKENS}


def test_what_cannot_be_written_leaves_the_tokens_as_they_were_and_no_draft(tmp_path, monkeypatch):
    store = FileStore(tmp_path / "tokens.json")
    store.save(TOKENS)

    def fail(_descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        store.save(Tokens("another", "another", "", 900, 0))

    assert store.load() == TOKENS
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"access_token": "from another program"}', "{"])
def test_a_file_of_something_else_is_told_of_without_quoting_it_and_signing_in_replaces_it(tmp_path, server, connect, text):
    path = tmp_path / "tokens.json"
    path.write_text(text)
    client = connect(store=FileStore(path))
    with pytest.raises(ValueError, match="sign in again") as raised:
        client.access_token()
    assert "from another program" not in str(raised.value)

    client.sign_in("alice", server.password)

    assert client.access_token() in server.good


def test_signing_out_in_one_client_is_found_by_another_at_its_next_refresh(tmp_path, server, connect):
    here, there = (connect(store=FileStore(tmp_path / "tokens.json")) for _ in range(2))
    here.sign_in("alice", server.password)
    there.access_token()

    here.sign_out()

    with pytest.raises(InvalidGrant, match="Nobody is signed in"):
        there.refresh()


PROCESS = """
import sys
from authserver_client import AuthClient, FileStore

with AuthClient(sys.argv[1], "editor", store=FileStore(sys.argv[2])) as client:
    print("ready", flush=True)
    sys.stdin.readline()
    print(client.access_token(), flush=True)
"""


def test_two_processes_that_share_a_file_spend_one_refresh_token_once(tmp_path, server, release):
    server.expires_in = 0
    with AuthClient(server.url, "editor", store=FileStore(tmp_path / "tokens.json")) as client:
        client.sign_in("alice", server.password)
    server.expires_in = 900
    server.before_token = lambda: release.wait(0.5)  # the other one asks meanwhile

    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, server.url, str(tmp_path / "tokens.json")],
            env={**os.environ, "PYTHONPATH": str(PACKAGE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate(timeout=30)[0].strip() for process in processes}

    assert told == server.good
    assert [process.returncode for process in processes] == [0, 0]
    assert len(server.refreshes()) == 1


def test_two_processes_whose_store_locks_nobody_out_stay_signed_in_by_the_key_that_is_stored(server, connect, backend):
    """Both read the keyring before either has written."""
    first, second = (connect(store=KeyringStore("my-tool", "alice")) for _ in range(2))
    first.sign_in("alice", server.password)
    read = dict(backend.entries)
    first.refresh()
    backend.entries |= read

    assert second.refresh() in server.good

    assert len({asked.headers["Idempotency-Key"] for asked in server.refreshes()}) == 1
    assert first.refresh() in server.good
