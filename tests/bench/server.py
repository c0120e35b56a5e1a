"""The server as it is deployed, on a database with users in it; and beside it a Django view of nothing, served by gunicorn."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from deploy import build_argon2
from tests.bench import kinds
from tests.bench.connections import balanced
from tests.bench.cpu import Spent, cpu_seconds, spent_by
from tests.e2e.servers import MODULES, STOP_SECONDS, clean_environment, run
from tests.postgres import free_port, postgres
from tests.redis import redis_server

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "auth.example.com"
START_SECONDS = 60.0
# Everything is on. What one address may send, and how often a name may fail, is out of the load's reach and counted all the same.
OUT_OF_REACH = {
    "AUTH_SERVICE__RATE_LIMIT_PER_IP": "100000000/m",
    "AUTH_SERVICE__RATE_LIMIT_FAILURES_PER_IP": "100000000/m",
    "AUTH_SERVICE__RATE_LIMIT_PER_USERNAME": "100000000/d",
    "AUTH_SERVICE__BRUTE_FORCE_THRESHOLD": "1000",
}


@dataclass(frozen=True)
class Stores:
    """What servers need: `redis_url` is empty where one process counts for itself, `pids` are the stores' processes."""

    postgres_url: str
    redis_url: str
    pids: dict[str, tuple[int, ...]]

    @property
    def database(self) -> str:
        return "postgresql" if self.postgres_url else "sqlite"


@dataclass(frozen=True)
class Served:
    """A server that answers, by its master's process id."""

    port: int
    pid: int
    start_seconds: float
    start_cpu_seconds: float


@dataclass(frozen=True)
class Site:
    """A server with users. `label` tells which revision it is of."""

    label: str
    served: Served
    users: int
    service_secret: str
    stores: Stores
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def database_url(self) -> str:
        return self.environment["AUTH_SERVICE__DB_URL"]

    @property
    def pids(self) -> dict[str, tuple[int, ...]]:
        return {"server": (self.served.pid,), **self.stores.pids}

    def connections(self, number: int) -> list[tuple[socket.socket, int]]:
        """Open, each with the index of the process that serves it."""
        return balanced(self.served.port, server=self.served.pid, number=number)

    def window(self) -> AbstractContextManager[Spent]:
        """Open while a load is measured."""
        return spent_by(**self.pids)


@contextmanager
def stores(*, database: str) -> Iterator[Stores]:
    """PostgreSQL with fsync, and a Redis for the ceilings of several processes; or nothing, for SQLite."""
    if database == "sqlite":
        yield Stores("", "", {})
        return
    if shutil.which("redis-server") is None:
        sys.exit("The processes of a server in production count in Redis: apt-get install redis-server, or measure with DB=sqlite")
    with postgres(durable=True) as url, redis_server() as redis:
        yield Stores(url, redis.url, {"database": (postmaster(url),), "redis": (redis.pid,)})


@contextmanager
def filled(stores: Stores, folder: Path, *, root: Path, users: int, **settings: str) -> Iterator[tuple[dict[str, str], str]]:
    """A database with users in it: the environment of a server on it, with a port that is free, and the secret of the service.

    `settings` are variables beside those of a server in production.
    """
    folder.mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(_database(stores.postgres_url)) if stores.postgres_url else f"sqlite:///{folder}/auth.db"
        environment = production(folder, port=free_port(), database_url=url, redis_url=stores.redis_url) | settings
        run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=root, environment=environment)
        run([sys.executable, "manage.py", "bootstrap"], cwd=root, environment=environment)
        secret = fill(environment, root=root, users=users)
        settle(url)
        yield environment, secret


@contextmanager
def site(
    label: str, stores: Stores, folder: Path, *, root: Path, users: int, starts: int, served_by: str = "gunicorn", **settings: str
) -> Iterator[Site]:
    """The code that lies in `root`, on a database of its own; the median of its `starts` counts, and the last one serves."""
    command = MODULES[served_by]
    with ExitStack() as stack:
        environment, secret = stack.enter_context(filled(stores, folder, root=root, users=users, **settings))
        port = int(environment["AUTH_SERVICE__PORT"])
        tried = [_try_start(command, environment, folder, port=port, root=root) for _ in range(starts - 1)]
        served = stack.enter_context(running(command, environment, folder / "server.log", port=port, root=root))
        median = sorted([*tried, served], key=lambda each: each.start_seconds)[len(tried) // 2]
        served = Served(port, served.pid, median.start_seconds, median.start_cpu_seconds)
        yield Site(label, served, users, secret, stores, environment)


def argon2(wanted: str, *, root: Path) -> dict[str, str]:
    """The variables of a server that hashes by what `make argon2` has built: none where it has not, or `root` knows no such setting."""
    built = ROOT / "build" / "argon2"
    if wanted == "libsodium" or not built.is_dir() or "AUTH_SERVICE__LIBARGON2" not in (root / "authserver/settings.py").read_text("utf-8"):
        return {}
    return {"AUTH_SERVICE__LIBARGON2": build_argon2.NAME, "LD_LIBRARY_PATH": str(built)}


@contextmanager
def bare_site(folder: Path, *, processes: int) -> Iterator[Site]:
    """A JSON view of Django without any middleware, under gunicorn's settings of the server."""
    folder.mkdir()
    port = free_port()
    environment = production(folder, port=port, database_url=f"sqlite:///{folder}/unused.db", redis_url="")
    environment |= {"PYTHONPATH": str(ROOT), "BENCH_PROCESSES": str(processes)}
    with running(("gunicorn", "-c", "tests/bench/bare.py"), environment, folder / "bare.log", port=port, root=ROOT) as served:
        yield Site("bare", served, users=0, service_secret="", stores=Stores("", "", {}))


def production(folder: Path, *, port: int, database_url: str, redis_url: str) -> dict[str, str]:
    """The variables of a server in production, behind a proxy on this machine that ends TLS."""
    return clean_environment(
        ENVIRONMENT="production",
        AUTH_SERVICE__ENV_FILE="",
        AUTH_SERVICE__PORT=str(port),
        AUTH_SERVICE__DATA_DIR=str(folder),
        AUTH_SERVICE__DB_URL=database_url,
        AUTH_SERVICE__REDIS_URL=redis_url,
        AUTH_SERVICE__JWT_ISSUER=f"https://{HOST}",
        AUTH_SERVICE__ALLOWED_HOSTS=HOST,
        AUTH_SERVICE__TRUSTED_PROXIES="127.0.0.1/32",
        **{
            f"AUTH_SERVICE__{name}": secrets.token_urlsafe(48)
            for name in ("SECRET_KEY", "TOKEN_KEYS", "KEY_ENCRYPTION_KEYS", "METRICS_TOKEN")
        },
        **OUT_OF_REACH,
    )


@contextmanager
def running(module: Sequence[str], environment: dict[str, str], log: Path, *, port: int, root: Path) -> Iterator[Served]:
    began_at = time.perf_counter()
    with log.open("ab") as output:
        command = [sys.executable, "-m", *module]
        process = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        while not _answers(port):
            if process.poll() is not None or time.perf_counter() - began_at > START_SECONDS:
                raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.005)
        seconds = time.perf_counter() - began_at
        yield Served(port, process.pid, seconds, cpu_seconds([process.pid]))
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def postmaster(url: str) -> int:
    """The parent of the backend that we are given."""
    with psycopg.connect(url) as connection:
        status = Path(f"/proc/{connection.info.backend_pid}/status").read_text(encoding="utf-8")
    return int(status.partition("PPid:\t")[2].partition("\n")[0])


def postgres_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        return str(connection.execute("SHOW server_version").fetchone()[0])


def _try_start(command: Sequence[str], environment: dict[str, str], folder: Path, *, port: int, root: Path) -> Served:
    with running(command, environment, folder / "server.log", port=port, root=root) as served:
        return served


def _answers(port: int) -> bool:
    """Ready, and not only alive."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return sock.recv(4096)[9:12] == b"200"
    return False


def fill(environment: dict[str, str], *, root: Path, users: int) -> str:
    """Make users and clients in a migrated database; gives the secret of the service."""
    script = str(Path(__file__).with_name("fill.py"))
    arguments = [str(users), kinds.PASSWORD, kinds.PUBLIC_CLIENT, kinds.SERVICE]
    printed = run([sys.executable, "-P", script, *arguments], cwd=root, environment=environment | {"PYTHONPATH": str(root)})
    secret: str = json.loads(printed)["service_secret"]
    return secret


def settle(url: str) -> None:
    """Nothing of the fill is left to be written, or to be counted, while the server is measured."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")


@contextmanager
def _database(server_url: str) -> Iterator[str]:
    name = f"bench_{secrets.token_hex(4)}"
    assert re.fullmatch(r"\w+", name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield urlsplit(server_url)._replace(path=f"/{name}").geturl()  # it goes with its PostgreSQL


def processors() -> int:
    return len(os.sched_getaffinity(0))
