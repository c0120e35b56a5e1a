"""Where an operator types what docs/operations.md prints, beside a server that serves."""

import os
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.container.operations import blocks
from tests.e2e.calls import refresh
from tests.e2e.servers import ROOT, Server
from tests.postgres import find_binaries

# Runs here what the page runs in a container of Compose.
IN_CONTAINERS = """
docker() {
  case $2 in
    exec) shift 4; "$@" ;;
    run) shift 6; .venv/bin/python "$@" ;;
  esac
}
"""


@dataclass(frozen=True)
class Console:
    """The folder in which an operator types, beside the server's own environment."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def beside(cls, served: Server, folder: Path) -> "Console":
        (folder / "manage.py").symlink_to(ROOT / "manage.py")
        (folder / ".venv").symlink_to(sys.prefix)
        path = f"{find_binaries()}:{os.environ['PATH']}"
        return cls(folder, served.environment | {"PATH": path, "no_proxy": "localhost"})

    def paste(self, heading: str, *, typed: str = "", **variables: str) -> str:
        """What the lines under this heading print. Raises AssertionError when one fails."""
        return self.run("".join(blocks("sh", heading=heading)), typed=typed, **variables)

    def run(self, script: str, *, typed: str = "", **variables: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment | variables,
            input=typed,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            start_new_session=True,  # a command that asks for a password takes it from `typed`, and not from a terminal
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def assert_keeps_the_last_whole_one(console: Console, name: str, script: str, *, database: dict[str, str], away: dict[str, str]) -> None:
    """The lines are pasted, pasted again the day after, and once more while the database is away."""
    backup, time = console.folder / name, console.folder / f"{name}.time"
    console.run(script, **database)
    backup.write_text("of yesterday", "utf-8")
    time.write_text("yesterday", "utf-8")

    console.run(script, **database)
    whole, at = backup.read_bytes(), time.read_text("utf-8")
    with pytest.raises(AssertionError):
        console.run(script, **away)

    assert whole != b"of yesterday"
    assert timedelta(minutes=4) < datetime.now(UTC) - datetime.fromisoformat(at.strip()) < timedelta(minutes=7)
    assert (backup.read_bytes(), time.read_text("utf-8")) == (whole, at)
    assert {stat.S_IMODE(file.stat().st_mode) for file in console.folder.glob(f"{name}*")} == {0o600}


class Refreshing:
    """Somebody refreshes while the block runs."""

    def __init__(self, token: str, *, http: httpx.Client) -> None:
        self.token, self.refreshes, self._http = token, 0, http
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run)

    def _run(self) -> None:
        # Not oftener than a restored session may catch up, and more than once also where the block is done at once.
        while (not self._stop.wait(0.02) or self.refreshes < 2) and self.refreshes < 10:
            self.token = refresh(self._http, self.token).json()["refresh_token"]
            self.refreshes += 1

    def __enter__(self) -> "Refreshing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
