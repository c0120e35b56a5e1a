"""How long refused sign-ins take: a wrong password, an unknown name and a disabled user must not be told apart by it."""

import socket
import time

from tests.bench import kinds
from tests.bench.generator import read_answer
from tests.bench.kinds import Wire
from tests.bench.server import HOST, Site

DISABLED = "bench-disabled"  # as fill.py made it
NAMES = {"wrong password": kinds.username(0), "unknown name": "nobody-of-this-name", "disabled user": DISABLED}


def timed(site: Site, *, tries: int) -> dict[str, list[float]]:
    """Seconds of each try by its kind, interleaved."""
    wire = Wire(HOST, "203.0.113.7")
    taken: dict[str, list[float]] = {kind: [] for kind in NAMES}
    with socket.create_connection(("127.0.0.1", site.served.port), timeout=30) as sock:
        for _ in range(tries):
            for kind, name in NAMES.items():
                password = kinds.PASSWORD if name == DISABLED else "not the password"
                form = {"grant_type": "password", "client_id": kinds.PUBLIC_CLIENT, "username": name, "password": password}
                began_at = time.perf_counter()
                sock.sendall(wire.post("/oauth/token", form))
                answer = read_answer(sock)
                taken[kind].append(time.perf_counter() - began_at)
                if (answer.status, b'"invalid_grant"' in answer.body) != ("400", True):
                    raise RuntimeError(f"{kind}: a sign-in was answered {answer.shape()}")
    return taken
