"""Replay the Dockerfile without a container engine, and run what comes of it as compose.yaml and deploy/kubernetes would.

python tests/replay_dockerfile.py      as root, with unshare and overlayfs; a minute

It proves that the steps work, one after another, on the files of a commit and the hashed lock file; that the image holds what the
server needs, and no secret; and that it serves as an unprivileged process 1 in a read-only tree, with the variables, secrets
and folders that compose.yaml and deploy/kubernetes give. It proves nothing about the base image, for which this machine stands in,
and nothing about the engine or the cluster.
"""

import http.client
import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.container import compose, contents  # noqa: E402 - after the path they are found on
from tests.container.build import Image, build  # noqa: E402
from tests.container.operations import paste_for_compose  # noqa: E402
from tests.container.pod import Pod  # noqa: E402
from tests.container.running import Container, own_network, stop  # noqa: E402
from tests.postgres import postgres  # noqa: E402

PASSWORD = secrets.token_urlsafe(16)
HOST = "auth.example.com"
PORT = 8003
CLIENT_ADDRESS = "203.0.113.9"
OF_THE_PROXY = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": CLIENT_ADDRESS}
SIGN_IN = {"grant_type": "password", "client_id": "web-app", "username": "alice", "password": PASSWORD}


def main() -> int:
    if "--inside" not in sys.argv:
        # Whatever is mounted or started in there ends with it.
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return subprocess.run([*own, sys.executable, __file__, "--inside"], check=False).returncode
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(folder)], check=True)
        replay(folder)
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", str(folder)], check=False)
        folder.rmdir()
    return 0


def replay(folder: Path) -> None:
    begun = time.monotonic()
    image = build(folder / "build", say=say)
    for line in contents.check(image):
        say(line)

    operator = folder / "operator"
    paste_for_compose(operator)
    services = compose.load(operator)
    own_network(compose.gateway())
    with postgres() as database_url:
        logs = [run_as_composed(image, services, operator=operator, database_url=database_url)]
        logs.append(run_as_pod(image, services["server"], operator=operator, database_url=database_url))

    used = [path.read_text(encoding="utf-8").strip() for path in (operator / "secrets").iterdir()]
    used.append(PASSWORD)
    for secret in used:
        found = contents.find(secret, [*image.tree.layers, *logs])
        assert found == [], f"secrets in {found}"
    say(f"none of the {len(used)} secrets that it ran with is in a layer or in a log")
    say(f"replayed in {time.monotonic() - begun:.0f} s")


def run_as_composed(image: Image, services: dict[str, compose.Service], *, operator: Path, database_url: str) -> Path:
    """Migrate, serve, ask, stop. Gives the log."""
    server, migrate = (Container(image, services[name], operator=operator) for name in ("server", "migrate"))
    server.prepare(database_port=urlsplit(database_url).port)

    migrate.run(*services["migrate"].values["command"])
    say("migrate: the database is migrated, the first signing key is made")
    server.run("python", "manage.py", "create_client", "web-app", "--public", "--grant-type=password", "--scope=api:read")
    make_user = f"from accounts.models import User; User.objects.create_user('alice', '', {PASSWORD!r})"
    server.run("python", "manage.py", "shell", "-c", make_user)
    assert "Read-only file system" in server.fail("touch", "/app/written", "/opt/venv/written", "/etc/written")
    assert server.fail(*image.config.health_command).startswith("no answer")
    say(f"passwords are hashed by {hashed_by(server)}")

    begun = time.monotonic()
    with server.serving() as process:
        say(f"{' '.join(image.config.command)}: healthy after {time.monotonic() - begun:.1f} s")
        ask(compose.gateway())
        say("it signs in, publishes its keys, serves the admin's static files, and refuses plain HTTP")
        with half_a_sign_in(compose.gateway()) as finish:
            begun = time.monotonic()
            stop(process, image.config.stop_signal)
            assert finish() == 200
            assert process.wait(float(services["server"].values["stop_grace_period"].removesuffix("s"))) == 0
        say(f"{image.config.stop_signal}: a request in hand was answered, and it ended with 0 after {time.monotonic() - begun:.1f} s")
    for line in server.log.read_text(encoding="utf-8").splitlines():
        json.loads(line)
    return server.log


def hashed_by(server: Container) -> str:
    """The library for this machine's processor."""
    code = "from accounts import libargon2; libargon2.named(); print(open('/proc/self/maps').read())"
    loaded = set(re.findall(r"\S+/libargon2\S+", server.run("python", "manage.py", "shell", "-c", code)))
    if "avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        return "libsodium"
    [library] = loaded
    assert library in {f"/usr/local/lib/glibc-hwcaps/{level}/libargon2-hwcaps.so.1" for level in ("x86-64-v3", "x86-64-v4")}, loaded
    return library


def run_as_pod(image: Image, service: compose.Service, *, operator: Path, database_url: str) -> Path:
    """With what deploy/kubernetes gives it, and the probes of the kubelet; Redis and the mail server are away. Gives the log."""
    pod = Pod()
    token = secrets.token_urlsafe(48)
    values = {path.name: path.read_text(encoding="utf-8").strip() for path in (operator / "secrets").iterdir()}
    values |= {"db-url": database_url, "redis-url": "redis://127.0.0.1:1/0", "email-url": "smtp://127.0.0.1:1", "metrics-token": token}
    pod.mount_secrets(image, values)
    container = Container(image, pod.service(like=service), operator=operator)

    container.run(*pod.waiting)
    container.run(pod.before_it_stops[0], "0")
    with container.serving() as process:
        for path in pod.probes:
            assert httpx.get(f"http://127.0.0.1:{PORT}{path}", headers={"Host": f"10.244.3.17:{PORT}"}).status_code == 200, path
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"http://127.0.0.1:{PORT}/metrics", headers=bearer).status_code == 200
        stop(process, image.config.stop_signal)
        assert process.wait(30) == 0
    say(f"as a pod: {' '.join(pod.waiting)} passes, {', '.join(dict.fromkeys(pod.probes))} and /metrics answer")
    return container.log


def ask(gateway: str) -> None:
    """As the proxy on the host would, whose requests come from the gateway of the network."""
    transport = httpx.HTTPTransport(local_address=gateway)
    with httpx.Client(base_url=f"http://{gateway}:{PORT}", transport=transport, headers=OF_THE_PROXY, timeout=20) as proxy:
        token = proxy.post("/oauth/token", data=SIGN_IN)
        assert token.status_code == 200, token.text
        bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}
        [session] = proxy.get("/api/v1/sessions", headers=bearer).json()["results"]
        assert session["address"] == CLIENT_ADDRESS
        assert len(proxy.get("/.well-known/jwks.json").json()["keys"]) >= 1

        [stylesheet] = re.findall(r'href="(/static/app\.[0-9a-f]{12}\.css)"', proxy.get("/sign-in").text)
        style = proxy.get(stylesheet)
        assert style.status_code == 200
        assert "immutable" in style.headers["Cache-Control"]
    plain = httpx.post(f"http://127.0.0.1:{PORT}/oauth/token", data=SIGN_IN, headers=OF_THE_PROXY)
    assert (plain.status_code, plain.json()["error"]) == (400, "invalid_request")


@contextmanager
def half_a_sign_in(gateway: str) -> Iterator[Callable[[], int]]:
    """A request whose body has come in part. What is given sends the rest, and gives the status of the answer."""
    body = urlencode(SIGN_IN).encode()
    headers = OF_THE_PROXY | {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
    with closing(http.client.HTTPConnection(gateway, PORT, timeout=20, source_address=(gateway, 0))) as connection:
        connection.request("POST", "/oauth/token", body[:10], headers)

        def finish() -> int:
            connection.send(body[10:])
            return connection.getresponse().status

        time.sleep(0.3)  # until a thread of the server has it
        yield finish


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
