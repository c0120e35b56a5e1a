"""The demo as `make demo` starts it, on ports and in a folder of its own, and what the tests ask it."""

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import httpx

from deploy import demo, gateway_configuration
from tests.e2e.calls import sign_in
from tests.e2e.nginx import need
from tests.e2e.servers import clean_environment, kinds_of_secrets_in
from tests.postgres import free_port


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[demo.Demo]:
    """Nothing that it logs is secret, but in the file that it keeps for its user."""
    need("nginx")
    with demo.running(folder, free_ports(), environment=clean_environment(**variables)) as made:
        yield made
    for log in folder.glob("*.log"):
        known = {"the password of the admin": (folder / "admin-password").read_text("utf-8").strip()}
        found = kinds_of_secrets_in(log.read_text("utf-8"), known=known)
        assert log.name == "bootstrap.log" or not found, f"{log.name} holds {', '.join(found)}"


def free_ports() -> gateway_configuration.Ports:
    return gateway_configuration.Ports(*(free_port() for _ in range(4)))


def database(made: demo.Demo) -> AbstractContextManager[sqlite3.Connection]:
    """What the server works on; committed at the end."""
    return _opened(made.folder)


def browser(made: demo.Demo, *, address: str = "127.0.0.1") -> httpx.Client:
    """Asks the gateway from this address of this machine."""
    base_url = f"http://127.0.0.1:{made.ports.gateway}"
    return httpx.Client(base_url=base_url, transport=httpx.HTTPTransport(local_address=address), timeout=40)


def bearer(http: httpx.Client) -> dict[str, str]:
    return {"Authorization": f"Bearer {sign_in(http)['access_token']}"}


def access_log(made: demo.Demo) -> list[str]:
    return (made.folder / "access.log").read_text("utf-8").splitlines()


def copy_data(source: Path, folder: Path, *, secret_key: str) -> None:
    """The database of a server and what belongs to it, for a demo: that saves it the migrations."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "admin-password", folder)
    (folder / "secret-key").write_text(secret_key, encoding="utf-8")
    with _opened(source) as old, _opened(folder) as new:
        old.backup(new)


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "auth.db", timeout=20)) as opened, opened:
        yield opened


def wait_for(condition, *, seconds=20):
    """What the condition gives, as soon as it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found
