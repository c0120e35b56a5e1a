"""PgBouncer before a PostgreSQL, configured as docs/operations.md says."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.e2e.nginx import find_program, need
from tests.e2e.servers import ROOT
from tests.faults.cluster import as_user
from tests.postgres import free_port

START_SECONDS = 20
DOCUMENT = ROOT / "docs" / "operations.md"


def documented() -> str:
    """The configuration that the documentation prints."""
    [text] = re.findall(r"```ini\n(; /etc/pgbouncer/pgbouncer\.ini\n.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


def documented_limits() -> list[str]:
    """The statements by which the documentation sets the limits that the pooler does not pass on."""
    return re.findall(r"^ALTER ROLE authserver IN DATABASE authserver SET .*;$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


@contextmanager
def pgbouncer(folder: Path, *, url: str, connections: int) -> Iterator[str]:
    """An URL that leads through it to the database of `url`, with so many `connections` there for all who come."""
    need("pgbouncer")
    parts = psycopg.conninfo.conninfo_to_dict(url)
    port = free_port()
    changed = {
        "authserver": f"host={parts['host']} port={parts['port']} dbname={parts['dbname']}",
        "listen_port": str(port),
        "auth_type": "trust",  # as the PostgreSQL of the tests
        "auth_file": f"{folder}/userlist.txt",
        "default_pool_size": str(connections),
        "unix_socket_dir": "",
    }
    text = documented()
    for name, value in changed.items():
        text, found = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert found == 1, f"the documented configuration has no {name}"
    (folder / "pgbouncer.ini").write_text(text, encoding="utf-8")
    (folder / "userlist.txt").write_text('"authserver" ""\n', encoding="utf-8")
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen([str(find_program("pgbouncer")), str(folder / "pgbouncer.ini")], stdout=log, stderr=log, **as_user())
    through = f"postgresql://authserver@127.0.0.1:{port}/authserver"
    try:
        _wait_until_ready(process, through, log=folder / "pgbouncer.log")
        yield through
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, *, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _lets_in(url):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.05)


def _lets_in(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
