"""Where the tokens are kept, and who may change them now."""

import os
import tempfile
import threading
from pathlib import Path
from typing import Protocol

from authserver_client.tokens import Tokens


class TokenStore(Protocol):
    """The tokens of one user. Whoever has the lock may change them; `try_lock` never waits."""

    def load(self) -> Tokens | None: ...
    def save(self, tokens: Tokens | None) -> None: ...
    def try_lock(self) -> bool: ...
    def unlock(self) -> None: ...


class _OneProcess:
    """A lock for the threads and coroutines of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def try_lock(self) -> bool:
        return self._lock.acquire(blocking=False)

    def unlock(self) -> None:
        self._lock.release()


class MemoryStore(_OneProcess):
    """Who signs in is signed out when the process ends. Clients in its threads and coroutines may share it."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens: Tokens | None = None

    def load(self) -> Tokens | None:
        return self._tokens

    def save(self, tokens: Tokens | None) -> None:
        self._tokens = tokens


class FileStore:
    """A file that its owner alone can read. Processes that share it take turns by a lock file beside it (POSIX only)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).expanduser()
        self._lock: int | None = None

    def load(self) -> Tokens | None:
        try:
            return Tokens.from_json(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return None

    def save(self, tokens: Tokens | None) -> None:
        """Replace the file as a whole: a reader finds the old tokens or the new ones."""
        if tokens is None:
            self._path.unlink(missing_ok=True)
            return
        descriptor, draft = tempfile.mkstemp(
            dir=self._path.parent, prefix=f".{self._path.name}."
        )  # SECURITY: it is made with the mode 0600
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(tokens.to_json())
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
        except BaseException:
            os.unlink(draft)
            raise

    def try_lock(self) -> bool:
        import fcntl  # not on Windows, where KeyringStore serves

        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def unlock(self) -> None:
        if self._lock is not None:
            descriptor, self._lock = self._lock, None
            os.close(descriptor)  # which gives the lock up


class KeyringStore(_OneProcess):
    """The keyring of the operating system. It locks out no other process: when two refresh at once, `refresh_key` keeps both signed in."""

    def __init__(self, service: str, username: str) -> None:
        import keyring  # pip install 'authserver-client[keyring]'

        super().__init__()
        self._keyring, self._entry = keyring, (service, username)

    def load(self) -> Tokens | None:
        text = self._keyring.get_password(*self._entry)
        return Tokens.from_json(text) if text else None

    def save(self, tokens: Tokens | None) -> None:
        if tokens is not None:
            self._keyring.set_password(*self._entry, tokens.to_json())
        elif self._keyring.get_password(*self._entry) is not None:
            self._keyring.delete_password(*self._entry)
