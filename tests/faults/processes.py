"""The gunicorn of a server that this process started, and how its workers are killed."""

import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Gunicorn:
    """A master process, by its id."""

    pid: int

    @classmethod
    def serving(cls, port: int) -> "Gunicorn":
        """The child of this process that serves `port`."""
        marker = f"AUTH_SERVICE__PORT={port}".encode()
        (pid,) = [pid for pid in _children(os.getpid()) if marker in _environment(pid)]
        return cls(pid)

    def variable(self, name: str) -> str:
        """What the server was started with under this name."""
        (value,) = [entry.partition(b"=")[2] for entry in _environment(self.pid) if entry.startswith(f"{name}=".encode())]
        return value.decode()

    def environment(self) -> dict[str, str]:
        """What a command for this server is started with."""
        pairs = (entry.decode().partition("=") for entry in _environment(self.pid) if entry)
        return {name: value for name, _, value in pairs}

    def workers(self) -> list[int]:
        return _children(self.pid)

    def kill(self, worker: int) -> bool:
        """SIGKILL, and wait until it is dead. False when there is no such worker any more."""
        try:
            handle = os.pidfd_open(worker)
        except ProcessLookupError:
            return False
        try:
            # The handle first, the look at the parent second: an id that was given anew is never hit.
            if worker not in self.workers():
                return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [])
        finally:
            os.close(handle)
        return True


def _children(pid: int) -> list[int]:
    return [child for child in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_child(child, parent=pid)]


def _is_child(pid: int, *, parent: int) -> bool:
    """Alive, and `parent`'s: a dead child stays listed until its parent has taken note."""
    with suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        return fields["PPid"] == str(parent) and not fields["State"].startswith(("Z", "X"))
    return False


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
