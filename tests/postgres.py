"""A PostgreSQL server of our own, for as long as the tests run."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def find_binaries() -> Path | None:
    """The folder of the newest PostgreSQL that is installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    return next((path for path in versions if (path / "initdb").exists()), Path(on_path).parent if on_path else None)


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[str]:
    """Start a server on a free loopback port and give the URL of its database; `durable` keeps fsync on."""
    binaries = find_binaries()
    if binaries is None:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    as_user: dict[str, Any] = {"cwd": "/"}
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "authserver", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            **as_user,
        )
        port = free_port()
        options = [] if durable else ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options += ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "max_connections=200", "timezone=UTC"]
        with (folder.parent / f"{folder.name}.log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", "-p", str(port), *(f"-c{option}" for option in options)],
                stdout=log,
                stderr=log,
                **as_user,
            )
        try:
            _wait_until_ready(binaries, port)
            subprocess.run(
                [binaries / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "authserver", "authserver"], check=True, **as_user
            )
            yield f"postgresql://authserver@127.0.0.1:{port}/authserver"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(binaries: Path, port: int) -> None:
    for _ in range(200):
        if subprocess.run([binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0:
            return
        time.sleep(0.05)
    sys.exit("PostgreSQL did not start within ten seconds")
