"""nginx as docs/operations.md configures it, on ports and in folders of a test's own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.container.operations import blocks
from tests.e2e.servers import clean_environment, serving


def configuration(folder: Path, *, server_port: int, plain_port: int, tls_port: int, log: str) -> str:
    """The one of docs/operations.md, with these ports, and with certificate and log in `folder`."""
    [text] = blocks("nginx", heading="Behind nginx")
    replacements = {
        "listen 80;": f"listen 127.0.0.1:{plain_port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{tls_port} ssl;",
        "server 127.0.0.1:8003;": f"server 127.0.0.1:{server_port};",
        "/etc/ssl/auth.example.com/": f"{folder}/",
        "/var/log/nginx/authserver.log": f"{folder}/{log}",
    }
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, text: str, *, plain_port: int, ready: str = "/live") -> Iterator[None]:
    """Serve this configuration, in a new folder that gets its `pid`, until the end of the block. `ready` is a path that is answered 200."""
    folder.mkdir()
    kept = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""  # the folders of tests are closed to the others
    file = folder / "nginx.conf"
    [main] = blocks("nginx", heading="How many clients nginx holds")
    file.write_text(f"daemon off;\npid {folder}/pid;\n{user}\n{main}http {{\n{kept}{text}}}\n", encoding="utf-8")
    command = [str(find_program("nginx")), "-e", "stderr", "-p", str(folder), "-c", str(file)]
    ready_url = f"http://127.0.0.1:{plain_port}{ready}"
    with serving(command, cwd=folder, environment=clean_environment(), log=folder / "nginx.log", ready_url=ready_url):
        yield


def make_certificate(folder: Path, *, host: str) -> None:
    """One that nobody has signed, and its key."""
    names = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)


def find_program(name: str) -> Path | None:
    """Where it is; servers are not on everybody's PATH."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return Path(found) if found else None


def need(*programs: str) -> None:
    missing = [program for program in programs if find_program(program) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
