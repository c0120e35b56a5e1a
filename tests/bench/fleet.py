"""Instances of the server, each with one process and a folder of its own, on one database, behind the gateway's nginx."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy import gateway_configuration
from tests.bench import written
from tests.bench.cpu import Spent, spent_by
from tests.bench.server import ROOT, Served, Site, Stores, filled, running
from tests.e2e.nginx import nginx
from tests.e2e.servers import MODULES
from tests.postgres import free_port

FAILURES_PER_ADDRESS = 8  # no load fails; the check that they are counted together reaches it
# nginx closes a connection after a thousand requests, which a load of some seconds may send.
FOR_LONG = "keepalive_requests 1000000;"


@dataclass(frozen=True)
class Fleet(Site):
    """The first so many instances behind an nginx of their own, which is what is `served`."""

    instances: tuple[Served, ...] = ()

    @property
    def pids(self) -> dict[str, tuple[int, ...]]:
        return {"server": tuple(each.pid for each in self.instances), "nginx": (self.served.pid,), **self.stores.pids}

    def connections(self, number: int) -> list[tuple[socket.socket, int]]:
        """To nginx; which instance answers is its affair, so all count as one process."""
        return [(_connect(self.served.port), 0) for _ in range(number)]

    @contextmanager
    def window(self) -> Iterator[Spent]:
        """As that of a site, with what the stores have counted."""
        with written.counted(self.database_url, self.stores.redis_url) as increase, spent_by(**self.pids) as spent:
            yield spent
        spent.counted = increase


@contextmanager
def fleets(stores: Stores, folder: Path, *, users: int, sizes: Sequence[int]) -> Iterator[dict[int, Fleet]]:
    """By its size each fleet: they share their instances, of which there are as many as the largest has."""
    with ExitStack() as stack:
        environment, secret = stack.enter_context(filled(stores, folder, root=ROOT, users=users))
        environment |= {"WEB_CONCURRENCY": "1", "AUTH_SERVICE__RATE_LIMIT_FAILURES_PER_IP": f"{FAILURES_PER_ADDRESS}/h"}
        instances = [stack.enter_context(_instance(environment, folder / f"instance-{number}")) for number in range(1, max(sizes) + 1)]
        yield {
            size: Fleet(
                label=f"{size} instances",
                served=stack.enter_context(_gateway(folder / f"gateway-{size}", instances[:size])),
                users=users,
                service_secret=secret,
                stores=stores,
                instances=tuple(instances[:size]),
                environment=environment,
            )
            for size in sizes
        }


@contextmanager
def _instance(environment: dict[str, str], folder: Path) -> Iterator[Served]:
    folder.mkdir()
    port = free_port()
    own = {"AUTH_SERVICE__PORT": str(port), "AUTH_SERVICE__DATA_DIR": str(folder)}
    with running(MODULES["gunicorn"], environment | own, folder / "server.log", port=port, root=ROOT) as served:
        yield served


@contextmanager
def _gateway(folder: Path, instances: Sequence[Served]) -> Iterator[Served]:
    """nginx with the templates of deploy/nginx. The generator is the proxy in front of it, which ends TLS and names the client."""
    configuration, port = folder / "configuration", free_port()
    configuration.mkdir(parents=True)
    with gateway_configuration.memory() as memory:
        ports = gateway_configuration.Ports(port, instances[0].port, free_port(), free_port())
        values = gateway_configuration.values_on_loopback(configuration, ports, memory=memory) | {
            "GATEWAY_AUTHSERVER": "; server ".join(f"127.0.0.1:{each.port}" for each in instances),
            "GATEWAY_FRONT_PROXY": "127.0.0.1/32",
        }
        gateway_configuration.render(configuration, values)
        text = f"{FOR_LONG}\ninclude {configuration}/gateway.conf;\n"
        with nginx(folder / "nginx", text, plain_port=port, ready="/auth-health"):
            pid = int((folder / "nginx" / "pid").read_text(encoding="ascii"))
            yield Served(port, pid, start_seconds=0.0, start_cpu_seconds=0.0)


def _connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
