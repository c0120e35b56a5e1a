"""The whole world of the integration guide on this machine: `make demo`.

authserver with demo data on SQLite, the resource server of examples/, a service that knows nothing of tokens, and before them all nginx as
deploy/nginx configures it (gateway_configuration.py). The tests drive this very program (tests/e2e/test_gateway.py).

DEMO_PORT is the gateway's (8080); the others listen on the three ports after it. DEMO_FOLDER (build/demo) keeps the data and the logs.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from deploy.gateway_configuration import Ports, memory, render, values_on_loopback

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SERVER_FOLDERS = "/usr/sbin:/sbin:/usr/local/sbin"  # servers are not on everybody's PATH
START_SECONDS = 120
STOP_SECONDS = 30  # the server lets requests in hand end for 25

WHAT_TO_TRY = """
The gateway is ready on {base}  (Ctrl-C stops everything)

Sign in, and keep the token:
  TOKEN=$(curl --silent {base}/oauth/token -d grant_type=password -d client_id=codelab-flutter-app \\
    -d username=user@example.com -d password=password123 | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')

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
class Program:
    """What is started, and where its output goes."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


@dataclass(frozen=True)
class Demo:
    """The programs, each of which can be stopped and started again by its name."""

    folder: Path
    ports: Ports
    programs: Mapping[str, Program]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://localhost:{self.ports.gateway}"

    def start(self, name: str) -> None:
        """In a session of its own: the Ctrl-C of the terminal is for us, who stop the others one after the other."""
        program = self.programs[name]
        with program.log.open("ab") as output:
            self.processes[name] = subprocess.Popen(  # noqa: S603
                program.command,
                cwd=ROOT,
                env=program.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whoever of its own children is left
            process.wait()

    def wait_until_ready(self) -> None:
        """Until each program answers. Raises CannotStartError."""
        deadline = time.monotonic() + START_SECONDS
        waiting = [f"{self.base_url}/auth-health", f"{self.base_url}/api/v1/protected", f"http://127.0.0.1:{self.ports.legacy_service}/"]
        while waiting := [url for url in waiting if not _answers(url)]:
            self.ensure_all_run()
            if time.monotonic() > deadline:
                raise CannotStartError(f"No answer from {', '.join(waiting)}. The logs are {self.folder}/*.log.")
            time.sleep(0.05)

    def ensure_all_run(self) -> None:
        """Raises CannotStartError."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise CannotStartError(_last_lines(name, self.programs[name].log))


def main() -> int:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _leave)
    try:
        first = _first_port(os.environ.get("DEMO_PORT") or "8080")
        ports = Ports(first, first + 1, first + 2, first + 3)
        with running(Path(os.environ.get("DEMO_FOLDER", ROOT / "build" / "demo")), ports, environment=os.environ) as demo:
            _say(WHAT_TO_TRY.format(base=demo.base_url, port=first, folder=demo.folder))
            while True:
                demo.ensure_all_run()
                time.sleep(0.3)
    except CannotStartError as error:
        print(f"demo: {error}", file=sys.stderr)  # noqa: T201
        return 1


@contextmanager
def running(folder: Path, ports: Ports, *, environment: Mapping[str, str]) -> Iterator[Demo]:
    """Start everything, and stop it at the end of the block. Raises CannotStartError."""
    nginx = _ensure_ready_to_start(ports)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.unlink()
    configuration = folder / "nginx"
    configuration.mkdir(exist_ok=True)
    with memory() as in_memory, ExitStack() as stack:
        render(configuration, values_on_loopback(configuration, ports, memory=in_memory))
        programs = _programs(folder, ports, environment, gateway=(*nginx, "-c", str(configuration / "nginx.conf")))
        demo = Demo(folder, ports, programs)
        _say("Making the database ready...")
        for words in (["migrate", "--verbosity", "0"], ["bootstrap", "--demo"]):
            _manage(words, environment=programs["authserver"].environment, log=folder / "bootstrap.log")
        for name in programs:
            demo.start(name)
            stack.callback(demo.stop, name)
        demo.wait_until_ready()
        yield demo


def _programs(folder: Path, ports: Ports, environment: Mapping[str, str], *, gateway: tuple[str, ...]) -> dict[str, Program]:
    # The gateway's own address: whoever is given it finds everything else below it.
    issuer = f"http://localhost:{ports.gateway}"
    authserver = {
        "ENVIRONMENT": "development",
        "AUTH_SERVICE__ENV_FILE": "",
        "AUTH_SERVICE__PORT": str(ports.authserver),
        "AUTH_SERVICE__DATA_DIR": str(folder),
        "AUTH_SERVICE__DB_URL": f"sqlite:///{folder}/auth.db",
        "AUTH_SERVICE__JWT_ISSUER": issuer,
        "AUTH_SERVICE__TRUSTED_PROXIES": "127.0.0.1/32",
    }
    packages = f"{EXAMPLES}/token-verifier{os.pathsep}{EXAMPLES}/resource-server-fastapi"
    resource_server = {"PYTHONPATH": packages, "AUTH_ISSUER": issuer, "no_proxy": "localhost"}
    uvicorn = ("-m", "uvicorn", "resource_server.app:app", "--port", str(ports.resource_server), "--no-access-log")
    legacy_service = {"LEGACY_PORT": str(ports.legacy_service)}

    def program(name: str, *command: str, **variables: str) -> Program:
        return Program(command, {**environment, **variables}, folder / f"{name}.log")

    return {
        "authserver": program("authserver", sys.executable, "-m", "gunicorn", "-c", "authserver/gunicorn.py", **authserver),
        "resource-server": program("resource-server", sys.executable, *uvicorn, **resource_server),
        "legacy-service": program(
            "legacy-service", sys.executable, str(EXAMPLES / "legacy-service" / "legacy_service.py"), **legacy_service
        ),
        "gateway": program("gateway", *gateway),
    }


def _first_port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65532:
        raise CannotStartError(f"DEMO_PORT is {text!r}, but must be a number from 1 to 65532.")
    return int(text)


def _ensure_ready_to_start(ports: Ports) -> tuple[str, ...]:
    """The command of nginx. Raises CannotStartError."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:{SERVER_FOLDERS}")
    if nginx is None:
        raise CannotStartError("nginx is not installed. On Debian and Ubuntu: apt-get install nginx-light")
    missing = [name for name in ("fastapi", "uvicorn", "websockets", "httpx", "jwt") if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotStartError(f"Not installed for this Python: {', '.join(missing)}. `make demo` installs them.")
    for port in vars(ports).values():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            raise CannotStartError(f"Port {port} is taken. Choose others: DEMO_PORT=9080 make demo")
    return nginx, "-e", "stderr", "-g", "daemon off;"


def _manage(words: list[str], *, environment: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as output:
        log.chmod(0o600)  # the secret of a client is in it, once
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    if done.returncode:
        raise CannotStartError(_last_lines("bootstrap", log))


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


def _last_lines(name: str, log: Path) -> str:
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
