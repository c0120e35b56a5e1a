"""The gateway's configuration for this machine, out of the templates of deploy/nginx: for the demo and the tests."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parent / "nginx"
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - what lies there reaches no disk


@dataclass(frozen=True)
class Ports:
    gateway: int
    authserver: int
    resource_server: int
    legacy_service: int


def render(folder: Path, values: Mapping[str, str]) -> None:
    """Write every template of deploy/nginx into the folder, with these values in place of ${GATEWAY_…}; nginx has variables of its own."""
    for template in TEMPLATES.glob("*.conf.template"):
        text = re.sub(r"\$\{(GATEWAY_\w+)\}", lambda found: values[found[1]], template.read_text(encoding="utf-8"))
        (folder / template.name.removesuffix(".template")).write_text(text, encoding="utf-8")


def values_on_loopback(configuration: Path, ports: Ports, *, memory: Path) -> dict[str, str]:
    """What the templates ask for. What nginx caches and writes for itself goes to `memory`."""
    return {
        "GATEWAY_CONFIG": str(configuration),
        "GATEWAY_RUN": str(memory),
        "GATEWAY_CACHE": str(memory),
        "GATEWAY_LOG": str(configuration.parent / "access.log"),
        "GATEWAY_ERROR_LOG": "stderr",
        "GATEWAY_SERVER": "plain",
        "GATEWAY_HTTP": f"127.0.0.1:{ports.gateway}",
        "GATEWAY_HTTPS": "127.0.0.1:8443",
        "GATEWAY_NAME": "localhost",
        "GATEWAY_TLS": str(configuration),
        "GATEWAY_FRONT_PROXY": "192.0.2.0/32",  # nobody
        "GATEWAY_AUTHSERVER": f"127.0.0.1:{ports.authserver}",
        "GATEWAY_RESOURCE_SERVER": f"127.0.0.1:{ports.resource_server}",
        "GATEWAY_LEGACY_SERVICE": f"127.0.0.1:{ports.legacy_service}",
    }


@contextmanager
def memory() -> Iterator[Path]:
    """A folder that reaches no disk and is gone at the end; on machines without one, an ordinary one."""
    with tempfile.TemporaryDirectory(prefix="authserver-demo-", dir=IN_MEMORY) as folder:
        os.chmod(folder, 0o711)  # noqa: S103 - nginx works as another user, and makes closed folders in it
        yield Path(folder)
