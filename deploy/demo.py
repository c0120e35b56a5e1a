"""The whole world of the integration guide on this machine: `make demo`.

authserver with demo data on SQLite, the resource server of examples/, a service that knows nothing of tokens, and before them all nginx as
deploy/nginx configures it. The tests drive this very program (tests/e2e/test_gateway.py).

DEMO_PORT is the gateway's (8080); the others listen on the three ports after it. DEMO_FOLDER (build/demo) keeps the data and the logs.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "deploy" / "nginx"
EXAMPLES = ROOT / "examples"
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - what lies there reaches no disk
START_SECONDS = 60
STOP_SECONDS = 30  # the server lets requests in hand end for 25

WHAT_TO_TRY = """
The gateway is ready on {base}  (Ctrl-C stops everything)

Sign in, and keep the token:
  TOKEN=$(curl --silent {base}/oauth/token -d grant_type=password -d client_id=codelab-flutter-app \\
    -d username=user@example.com -d password=password123 | {python} -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')

Ask the resource server, which verifies tokens by itself:
  curl {base}/api/v1/protected -H "Authorization: Bearer $TOKEN"
  curl {base}/api/v1/sessions -H "Authorization: Bearer $TOKEN" -X POST
  curl {base}/api/v1/sessions -H "Authorization: Bearer $TOKEN"

Ask authserver who you are, and where you are signed in:
  curl {base}/api/v1/auth/me -H "Authorization: Bearer $TOKEN"
  curl {base}/api/v1/auth/sessions -H "Authorization: Bearer $TOKEN"

Ask a service that knows nothing of tokens. The gateway tells it who you are:
  curl {base}/legacy/reports -H "Authorization: Bearer $TOKEN"

WebSocket  ws://localhost:{port}/api/v1/ws/SESSION_ID, with the same header
Admin      {base}/admin/   admin / the password in {folder}/admin-password
Health     {base}/auth-health
Logs       {folder}/*.log
"""


class CannotStartError(Exception):
    """The text says to a person what is missing."""


@dataclass(frozen=True)
class Ports:
    gateway: int
    authserver: int
    resource_server: int
    legacy_service: int


@dataclass(frozen=True)
class Demo:
    """Everything runs."""

    folder: Path
    ports: Ports
    server_environment: Mapping[str, str]
    processes: Mapping[str, subprocess.Popen[bytes]]

    @property
    def base_url(self) -> str:
        return f"http://localhost:{self.ports.gateway}"


def main() -> int:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _leave)
    first = int(os.environ.get("DEMO_PORT", "8080"))
    ports = Ports(first, first + 1, first + 2, first + 3)
    try:
        with running(Path(os.environ.get("DEMO_FOLDER", ROOT / "build" / "demo")), ports) as demo:
            _say(WHAT_TO_TRY.format(base=demo.base_url, port=first, folder=demo.folder, python="python3"))
            while (ended := next((name for name, process in demo.processes.items() if process.poll() is not None), None)) is None:
                time.sleep(0.3)
            raise CannotStartError(_last_lines(ended, demo.folder))
    except CannotStartError as error:
        print(f"demo: {error}", file=sys.stderr)  # noqa: T201
        return 1


@contextmanager
def running(folder: Path, ports: Ports, **settings: str) -> Iterator[Demo]:
    """Start everything, and stop it at the end of the block; `settings` go to authserver. Raises CannotStartError."""
    nginx = _ensure_ready_to_start(ports)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    issuer = f"http://localhost:{ports.gateway}"
    environment = os.environ | {
        "ENVIRONMENT": "development",
        "AUTH_SERVICE__ENV_FILE": "",
        "AUTH_SERVICE__PORT": str(ports.authserver),
        "AUTH_SERVICE__DATA_DIR": str(folder),
        "AUTH_SERVICE__DB_URL": f"sqlite:///{folder}/auth.db",
        # The gateway's own address: whoever is given it finds everything else below it.
        "AUTH_SERVICE__JWT_ISSUER": issuer,
        "AUTH_SERVICE__TRUSTED_PROXIES": "127.0.0.1/32",
        **settings,
    }
    _say("Making the database ready...")
    for words in (["migrate", "--verbosity", "0"], ["bootstrap", "--demo"]):
        _manage(words, environment=environment, log=folder / "bootstrap.log")
    with ExitStack() as stack:
        started: dict[str, subprocess.Popen[bytes]] = {}

        def start(name: str, *command: str, **variables: str) -> None:
            child = _child(command, environment=environment | variables, log=folder / f"{name}.log")
            started[name] = stack.enter_context(child)

        start("authserver", sys.executable, "-m", "gunicorn", "-c", "authserver/gunicorn.py")
        uvicorn = [sys.executable, "-m", "uvicorn", "resource_server.app:app", "--port", str(ports.resource_server), "--no-access-log"]
        packages = f"{EXAMPLES}/token-verifier{os.pathsep}{EXAMPLES}/resource-server-fastapi"
        start("resource-server", *uvicorn, PYTHONPATH=packages, AUTH_ISSUER=issuer, no_proxy="localhost")
        start("legacy-service", sys.executable, str(EXAMPLES / "legacy-service" / "service.py"), LEGACY_PORT=str(ports.legacy_service))
        start("gateway", *nginx, "-e", "stderr", "-c", str(stack.enter_context(_configuration(folder, ports))))
        demo = Demo(folder, ports, environment, started)
        _wait_until_ready(demo)
        yield demo


def render(folder: Path, values: Mapping[str, str]) -> None:
    """Write every template of deploy/nginx into the folder, with these values in place of ${…}."""
    for template in TEMPLATES.glob("*.conf.template"):
        text = _Template(template.read_text(encoding="utf-8")).substitute(values)
        (folder / template.name.removesuffix(".template")).write_text(text, encoding="utf-8")


class _Template(string.Template):
    """${GATEWAY_…} alone; nginx has variables of its own."""

    pattern = r"\$(?:\{(?P<braced>GATEWAY_\w+)\}|(?P<named>(?!))|(?P<escaped>(?!))|(?P<invalid>(?!)))"


@contextmanager
def _configuration(folder: Path, ports: Ports) -> Iterator[Path]:
    """nginx's file. What it caches lies in memory, and is gone at the end."""
    configuration = folder / "nginx"
    configuration.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="authserver-demo-", dir=IN_MEMORY) as cache:
        os.chmod(cache, 0o711)  # noqa: S103 - nginx works as another user, and makes closed folders in it
        values = {
            "GATEWAY_CONFIG": str(configuration),
            "GATEWAY_RUN": cache,
            "GATEWAY_CACHE": cache,
            "GATEWAY_LOG": str(folder / "access.log"),
            "GATEWAY_SERVER": "plain",
            "GATEWAY_HTTP": f"127.0.0.1:{ports.gateway}",
            "GATEWAY_HTTPS": "127.0.0.1:8443",
            "GATEWAY_NAME": "localhost",
            "GATEWAY_TLS": str(folder),
            "GATEWAY_FRONT_PROXY": "unix:",
            "GATEWAY_AUTHSERVER": f"127.0.0.1:{ports.authserver}",
            "GATEWAY_RESOURCE_SERVER": f"127.0.0.1:{ports.resource_server}",
            "GATEWAY_LEGACY_SERVICE": f"127.0.0.1:{ports.legacy_service}",
        }
        render(configuration, values)
        yield configuration / "nginx.conf"


def _ensure_ready_to_start(ports: Ports) -> list[str]:
    """The command of nginx. Raises CannotStartError."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
    if nginx is None:
        raise CannotStartError("nginx is not installed. On Debian and Ubuntu: apt-get install nginx-light")
    missing = [name for name in ("fastapi", "uvicorn", "websockets", "httpx", "jwt") if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotStartError(f"Not installed for this Python: {', '.join(missing)}. `make demo` installs them.")
    for port in vars(ports).values():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            raise CannotStartError(f"Port {port} is taken. Choose others: DEMO_PORT=9080 make demo")
    return [nginx, "-g", "daemon off;"]


def _manage(words: list[str], *, environment: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as output:
        log.chmod(0o600)  # the secret of a client is in it, once
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    if done.returncode:
        raise CannotStartError(_last_lines("bootstrap", log.parent))


@contextmanager
def _child(command: tuple[str, ...], *, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own: the Ctrl-C of the terminal is for us, who stop the others one after the other."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whoever of its own children is left
            process.wait()


def _wait_until_ready(demo: Demo) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = [f"{demo.base_url}/auth-health", f"{demo.base_url}/api/v1/protected", f"http://127.0.0.1:{demo.ports.legacy_service}/"]
    while waiting:
        for name, process in demo.processes.items():
            if process.poll() is not None:
                raise CannotStartError(_last_lines(name, demo.folder))
        if time.monotonic() > deadline:
            raise CannotStartError(f"No answer from {', '.join(waiting)}. The logs are {demo.folder}/*.log.")
        waiting = [url for url in waiting if not _answers(url)]
        time.sleep(0.05)


def _answers(url: str) -> bool:
    """A refusal is an answer too, the gateway's word that there is nobody behind it is none."""
    try:
        with _opener.open(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code != 503
    except OSError:
        return False


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _last_lines(name: str, folder: Path) -> str:
    log = folder / f"{name}.log"
    return "\n".join([f"{name} has ended. The last lines of {log}:", *log.read_text("utf-8", errors="replace").splitlines()[-15:]])


def _leave(signum: int, _frame: Any) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C would leave children behind
    if signum == signal.SIGINT:
        _say("\nStopping...")
    sys.exit(0)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for the person who typed make demo


if __name__ == "__main__":
    sys.exit(main())
