"""The real server in a process of its own, on a port and a database of its own."""

import atexit
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
from psycopg import sql

from tests.postgres import find_binaries, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
ISSUER = "https://auth.codelab.local"
START_SECONDS = 120
STOP_SECONDS = 40  # more than gunicorn's graceful_timeout
MODULES = {"gunicorn": ("gunicorn", "-c", "authserver/gunicorn.py"), "granian": ("authserver.granian",)}
SERVED_BY = os.environ.get("SERVED_BY", "gunicorn")  # SERVED_BY=granian holds the other server to the same tests

# What no line of a server's output may hold. A development server prints its demo passwords, in the banner and nowhere else.
BANNER = re.compile(r"^authserver is ready on .*?^Health [^\n]*$", re.MULTILINE | re.DOTALL)
SECRETS = {
    "a token": re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\."),
    "a refresh token": re.compile(r"(?<![\w-])A[Q-Za-f][\w-]{50}(?![\w-])"),
    "a demo password": re.compile(r"password123|test123"),
}


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    port: int
    folder: Path
    log: Path
    bootstrap_output: str  # the only place where the secret of codelab-internal is seen
    environment: dict[str, str] = field(repr=False)

    @property
    def base_url(self) -> str:
        return f"http://localhost:{self.port}"

    def output(self) -> str:
        """All that it has printed and logged so far."""
        return self.log.read_text(encoding="utf-8")

    def manage(self, *arguments: str) -> str:
        """What a command of manage.py prints that works on this server's database."""
        return run([sys.executable, "manage.py", *arguments], cwd=ROOT, environment=self.environment)


@contextmanager
def authserver(
    folder: Path,
    *,
    postgres_url: str | None = None,
    served_by: str = SERVED_BY,
    configuration: str = "authserver/gunicorn.py",
    **variables: str,
) -> Iterator[Server]:
    """Bootstrap and serve in `folder`; `variables` are added to the environment, with the port for `{port}`.

    The database is a new one on `postgres_url`, on the server of the whole run when that is None, or SQLite when there is none.
    """
    with ExitStack() as stack:
        postgres_url = os.environ.get("TEST_DB_URL", "") if postgres_url is None else postgres_url
        database_url = stack.enter_context(migrated_database(postgres_url)) if postgres_url else migrated_file(folder)
        port = free_port()
        environment = clean_environment(
            ENVIRONMENT="development",
            AUTH_SERVICE__ENV_FILE="",
            AUTH_SERVICE__PORT=str(port),
            AUTH_SERVICE__DATA_DIR=str(folder),
            AUTH_SERVICE__SECRET_KEY=secrets.token_urlsafe(48),
            AUTH_SERVICE__DB_URL=database_url,
            **{"WEB_CONCURRENCY": "2", "AUTH_SERVICE__JWT_ISSUER": ISSUER}
            | {name: value.replace("{port}", str(port)) for name, value in variables.items()},
        )
        bootstrap_output = run([sys.executable, "manage.py", "bootstrap", "--demo"], cwd=ROOT, environment=environment)
        log = stack.enter_context(
            serving(
                server_command(served_by, configuration=configuration),
                cwd=ROOT,
                environment=environment,
                log=folder / "server.log",
                ready_url=f"http://localhost:{port}/ready",
            )
        )
        yield Server(port, folder, log, bootstrap_output, environment)
    found = kinds_of_secrets_in(log.read_text(encoding="utf-8"), known=known_secrets(folder, bootstrap_output, environment))
    assert not found, f"the server has logged {', '.join(found)}"


def server_command(served_by: str = SERVED_BY, *, configuration: str = "authserver/gunicorn.py") -> list[str]:
    """`configuration` is gunicorn's."""
    return [sys.executable, "-m", *(("gunicorn", "-c", configuration) if served_by == "gunicorn" else MODULES[served_by])]


def known_secrets(folder: Path, bootstrap_output: str, environment: dict[str, str]) -> dict[str, str]:
    """Those of one server, by their kind."""
    (client_secret,) = re.findall(r"shown once: (\S+)", bootstrap_output)
    return {
        "the password of the admin": (folder / "admin-password").read_text(encoding="utf-8").strip(),
        "the secret of a client": client_secret,
        "the secret key": environment["AUTH_SERVICE__SECRET_KEY"],
    }


def kinds_of_secrets_in(output: str, *, known: dict[str, str]) -> list[str]:
    lines = BANNER.sub("", output)
    patterns = SECRETS | {kind: re.compile(re.escape(value)) for kind, value in known.items()}
    return [kind for kind, pattern in patterns.items() if pattern.search(lines)]


@contextmanager
def serving(command: list[str], *, cwd: Path, environment: dict[str, str], log: Path, ready_url: str) -> Iterator[Path]:
    """Start a server, wait until `ready_url` answers 200, and stop it at the end. Gives the file of its output."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, ready_url, log=log)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def run(command: list[str], *, cwd: Path, environment: dict[str, str]) -> str:
    """What the command prints. Raises AssertionError, with all of its output, when it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def seconds_to_end() -> int:
    """How long after SIGTERM gunicorn cuts off what has not ended."""
    [seconds] = re.findall(r"^graceful_timeout = (\d+)$", (ROOT / "authserver/gunicorn.py").read_text(encoding="utf-8"), re.MULTILINE)
    return int(seconds)


def clean_environment(**variables: str) -> dict[str, str]:
    """Nothing of the environment of who runs the tests but where programs are found."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONUTF8": "1"} | variables


def migrated_file(folder: Path) -> str:
    """The URL of a new SQLite database in `folder`, migrated."""
    shutil.copy(_migrated_file(), folder / "auth.db")
    return f"sqlite:///{folder}/auth.db"


@contextmanager
def migrated_database(server_url: str) -> Iterator[str]:
    """As `new_database`, and migrated."""
    with new_database(server_url, template=_migrated_template(server_url)) as url:
        yield url


@contextmanager
def new_database(server_url: str, *, template: str = "template1") -> Iterator[str]:
    """The URL of an empty database, or a copy, beside the one that `server_url` names; dropped at the end."""
    name = f"e2e_{secrets.token_hex(6)}"
    _execute(server_url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        _execute(server_url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@cache
def _migrated_file() -> Path:
    """Made once for all servers of a run: to migrate takes longer than most tests."""
    folder = tempfile.mkdtemp(prefix="authserver-tests-migrated-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder) / "auth.db"
    _migrate(f"sqlite:///{file}", folder=folder)
    return file


@cache
def _migrated_template(server_url: str) -> str:
    copied = new_database(server_url)
    url = copied.__enter__()
    atexit.register(_drop_if_there, copied)
    of_the_run = os.environ.get("TEST_DB_URL", "")
    if of_the_run in {"", server_url}:
        _migrate(url, folder=tempfile.gettempdir())
    else:
        _copy(urlsplit(of_the_run)._replace(path=f"/{_migrated_template(of_the_run)}").geturl(), to=url)
    return urlsplit(url).path.removeprefix("/")


def _copy(url: str, *, to: str) -> None:
    """All that is in a database, into an empty one of another server: a twentieth of what it takes to migrate."""
    binaries = find_binaries()
    assert binaries is not None
    dump = run([str(binaries / "pg_dump"), "--no-owner", "--dbname", url], cwd=ROOT, environment=clean_environment())
    command = [str(binaries / "psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--dbname", to]
    subprocess.run(command, input=dump, encoding="utf-8", env=clean_environment(), check=True, timeout=START_SECONDS)


def _drop_if_there(database: AbstractContextManager[str]) -> None:
    with suppress(psycopg.OperationalError):  # the whole server has ended, as most do
        database.__exit__(None, None, None)


def _migrate(database_url: str, *, folder: str) -> None:
    environment = clean_environment(
        ENVIRONMENT="development",
        AUTH_SERVICE__ENV_FILE="",
        AUTH_SERVICE__DATA_DIR=folder,
        AUTH_SERVICE__SECRET_KEY=secrets.token_urlsafe(48),
        AUTH_SERVICE__DB_URL=database_url,
    )
    run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, environment=environment)


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, *, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    answer = "nothing"
    while process.poll() is None and time.monotonic() < deadline:
        try:
            response = httpx.get(url, timeout=5)
        except httpx.TransportError as error:
            answer = repr(error)
        else:
            if response.status_code == 200:
                return
            answer = f"{response.status_code} {response.text}"
        time.sleep(0.05)
    raise AssertionError(f"{url} did not get ready; its last answer was {answer}, and its output:\n{log.read_text(encoding='utf-8')}")
