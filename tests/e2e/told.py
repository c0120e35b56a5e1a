"""nginx as deploy/nginx configures it, before a server that answers with what it was asked."""

import json
import socket
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx

from deploy import gateway_configuration
from tests.e2e.gateway import free_ports
from tests.e2e.nginx import find_program, need
from tests.e2e.servers import clean_environment, serving


class Told(BaseHTTPRequestHandler):
    """Answers with what it was asked, as any of the three servers. The token `good` is somebody's."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/oauth/verify":
            is_good = self.headers.get("Authorization") == "Bearer good"
            self.send_response(204 if is_good else 401)
            self.send_header("X-Auth-Subject", "somebody")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", "0") if not is_good else None
            self.end_headers()
            return
        content = json.dumps({"path": self.path} | {name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Strict-Transport-Security", "max-age=1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def gateway(folder: Path, told_port: int, *, shorter: Set[str] = frozenset(), **values: str) -> Iterator[gateway_configuration.Ports]:
    """nginx with these values beside the demo's. What is `shorter` takes one second in place of ten."""
    need("nginx", "openssl")
    configuration = folder / "nginx"
    configuration.mkdir()
    ports = gateway_configuration.Ports(free_ports().gateway, told_port, told_port, told_port)
    with gateway_configuration.memory() as memory:
        gateway_configuration.render(configuration, gateway_configuration.values_on_loopback(configuration, ports, memory=memory) | values)
        shared = (configuration / "server.conf").read_text("utf-8")
        for line in shorter:
            assert line in shared
            shared = shared.replace(line, line.replace("10s", "1s"))
        (configuration / "server.conf").write_text(shared, "utf-8")
        command = [str(find_program("nginx")), "-e", "stderr", "-g", "daemon off;", "-c", str(configuration / "nginx.conf")]
        log, ready_url = folder / "nginx.log", f"http://127.0.0.1:{told_port}/"
        with serving(command, cwd=folder, environment=clean_environment(), log=log, ready_url=ready_url):
            wait_until_open(ports.gateway, log=log)
            yield ports


def wait_until_open(port: int, *, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise AssertionError(log.read_text("utf-8"))


def ask_from(address: str, ports: gateway_configuration.Ports) -> httpx.Client:
    base_url, transport = f"http://127.0.0.1:{ports.gateway}", httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=base_url, transport=transport, timeout=20, trust_env=False)
