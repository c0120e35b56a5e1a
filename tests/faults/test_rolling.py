"""Two servers behind nginx are stopped and started one after the other under load: no request fails, and nobody is signed out.

BASE=a-revision rolls from that revision to this one, over its migrations; ROLLS=20 does it so often, and DRAIN_SECONDS=0 without a drain.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from threading import Event

import httpx
import psycopg
import pytest

from tests.bench.compare import worktree
from tests.container.operations import blocks
from tests.e2e.calls import SIGN_IN_FORM, refresh, refresh_form, sign_in
from tests.e2e.nginx import configuration, make_certificate, need, nginx
from tests.e2e.servers import (
    ISSUER,
    ROOT,
    START_SECONDS,
    STOP_SECONDS,
    clean_environment,
    migrated_database,
    new_database,
    run,
    server_command,
)
from tests.faults.siege import Row
from tests.postgres import free_port

ROLLS = int(os.environ.get("ROLLS") or 1)
BASE = os.environ.get("BASE", "")
APPS = 4
PAUSE_SECONDS = 0.02 if BASE or ROLLS > 1 else 0.1  # of an app, between two requests
DRAIN_SECONDS = int(os.environ.get("DRAIN_SECONDS") or 1)
HOST = "auth.example.com"


@dataclass
class Instance:
    """One of the two servers: stopped and started on the same port."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    said: list[int] = field(default_factory=list)  # its readiness since SIGTERM

    @property
    def port(self) -> int:
        return int(self.environment["AUTH_SERVICE__PORT"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, root: Path) -> None:
        # An older base does not know this setting, and may lose a request when it stops.
        own = {"AUTH_SERVICE__DRAIN_SECONDS": str(DRAIN_SECONDS)} if (root / "authserver/draining.py").exists() else {}
        command = server_command()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=root, env=self.environment | own, stdout=log, stderr=log)

    def wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while self.readiness() != 200:
            assert self.process.poll() is None, self.log.read_text("utf-8")
            assert time.monotonic() < deadline, self.log.read_text("utf-8")
            time.sleep(0.05)

    def readiness(self) -> int:
        """0 when nothing answers. Without httpx, which takes longer to make a client than the server to answer it."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    def stop(self) -> int:
        """What it ended with."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.said = []
        deadline = time.monotonic() + STOP_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            self.said.append(self.readiness())
            time.sleep(0.02)
        return self.process.wait(1)

    def said_so_first(self) -> bool:
        """Whether it was not ready any more before it was gone."""
        return [status for status in self.said if status][-1:] == [503]


@dataclass
class Load:
    """Apps that sign in and refresh through the proxy, and never send a request twice."""

    base_url: str
    stop: Event = field(default_factory=Event)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0

    def run(self, token: str, *, signs_in: bool) -> None:
        """One app. One of them signs in anew now and then: of several at once the server may send some away, whoever is stopped."""
        with httpx.Client(base_url=self.base_url, timeout=30, headers={"Host": HOST}) as http:
            for number in count(1):
                if self.stop.is_set():
                    return
                token = self._ask(http, "" if signs_in and number % 10 == 0 else token) or ""
                if number % 10 == 0:
                    self._note(http.get("/.well-known/jwks.json"))
                time.sleep(PAUSE_SECONDS)

    def _ask(self, http: httpx.Client, token: str) -> str | None:
        began_at = time.monotonic()
        try:
            answer = refresh(http, token) if token else http.post("/oauth/token", data=SIGN_IN_FORM)
        except httpx.TransportError as error:
            self.failures.append(f"{error!r}")
            return None
        self.longest = max(self.longest, time.monotonic() - began_at)
        self._note(answer)
        self.counts["pairs"] += answer.status_code == 200
        return answer.json().get("refresh_token")

    def _note(self, answer: httpx.Response) -> None:
        self.counts["requests"] += 1
        if answer.status_code != 200:
            self.failures.append(f"{answer.status_code} {answer.text}")


@dataclass
class Site:
    instances: list[Instance]
    plain_url: str
    database_url: str
    before: Path

    @contextmanager
    def load(self) -> Iterator[Load]:
        load = Load(self.plain_url)
        with httpx.Client(base_url=self.plain_url, timeout=30, headers={"Host": HOST}) as http:
            tokens = [sign_in(http)["refresh_token"] for _ in range(APPS)]
        with ThreadPoolExecutor(APPS) as threads:
            running = [threads.submit(load.run, token, signs_in=number == 0) for number, token in enumerate(tokens)]
            try:
                yield load
            finally:
                load.stop.set()
        for each in running:
            each.result()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not os.environ.get("TEST_DB_URL"):
        pytest.skip("SQLite serves one server")
    need("nginx", "openssl")
    folder = tmp_path_factory.mktemp("rolling")
    make_certificate(folder, host=HOST)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        before = stack.enter_context(worktree(BASE, folder / "base")) if BASE else ROOT
        server_url = os.environ["TEST_DB_URL"]
        url = stack.enter_context(new_database(server_url) if BASE else migrated_database(server_url))
        shared = clean_environment(
            ENVIRONMENT="development",
            AUTH_SERVICE__ENV_FILE="",
            AUTH_SERVICE__DATA_DIR=str(folder),
            AUTH_SERVICE__SECRET_KEY="s" * 48,
            AUTH_SERVICE__DB_URL=url,
            AUTH_SERVICE__ALLOWED_HOSTS=f"{HOST},127.0.0.1",
            AUTH_SERVICE__TRUSTED_PROXIES="127.0.0.1/32",
            AUTH_SERVICE__JWT_ISSUER=ISSUER,
            AUTH_SERVICE__ENABLE_RATE_LIMITING="false",
            WEB_CONCURRENCY="1",
        )
        for command in ([["migrate", "--verbosity", "0"]] if BASE else []) + [["bootstrap", "--demo"]]:
            run([sys.executable, "manage.py", *command], cwd=before, environment=shared)
        instances = [Instance(shared | {"AUTH_SERVICE__PORT": str(free_port())}, folder / f"log-{number}") for number in range(2)]
        for instance in instances:
            instance.start(root=before)
            stack.callback(instance.stop)
        for instance in instances:
            instance.wait()
        plain_port = free_port()
        text = two_of(configuration(folder, server_port=1, plain_port=plain_port, tls_port=free_port(), log="access.log"), instances)
        stack.enter_context(nginx(folder / "nginx", text, plain_port=plain_port))
        yield Site(instances, f"http://127.0.0.1:{plain_port}", url, before)


def two_of(text: str, instances: list[Instance]) -> str:
    """The configuration with the upstream of two servers that the page has for it."""
    [upstream] = blocks("nginx", heading="Without a gap")
    for port, instance in zip(("8003", "8004"), instances, strict=True):
        assert f"127.0.0.1:{port} " in upstream
        upstream = upstream.replace(f"127.0.0.1:{port} ", f"127.0.0.1:{instance.port} ")
    return upstream + text[text.index("}\n", text.index("upstream authserver {")) + 2 :]


def test_no_request_fails_while_servers_are_changed_one_after_the_other(
    site: Site, report: list[str], rows: list[Row], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="httpx")  # a line for each request is too much of a thousand restarts
    codes, silent = [], []
    for instance in site.instances:
        if not instance.readiness():
            instance.start(root=site.before)
            instance.wait()  # the other test was first, and has stopped it
    with site.load() as load:
        if BASE:
            run([sys.executable, "manage.py", "migrate"], cwd=ROOT, environment=site.instances[0].environment)
        for _ in range(ROLLS):
            for instance in site.instances:
                codes.append(instance.stop())
                silent += [] if instance.said_so_first() else [instance.said]
                instance.start(root=ROOT)
                instance.wait()
    requests = load.counts["requests"]
    rolled = f"from {BASE} to this revision" if BASE else "of one revision"
    report.append(
        f"{len(codes)} restarts {rolled} behind nginx: {requests} requests, {len(load.failures)} failed, longest {load.longest:.2f} s"
    )
    # Whatever failed: the apps of this load ask no second time.
    rows.append(Row(f"servers replaced, {rolled}", done=len(codes), pairs=load.counts["pairs"], forbidden={"5xx": len(load.failures)}))

    assert load.failures == [], "\n".join([*load.failures[:10], *(each.log.read_text("utf-8")[-2000:] for each in site.instances)])
    assert codes == [0] * len(codes) or BASE
    assert silent == [] or BASE or not DRAIN_SECONDS
    assert requests > len(codes) * APPS


def test_a_request_in_hand_is_answered_and_readiness_says_no_before_the_end(site: Site) -> None:
    instance = site.instances[0]
    with httpx.Client(base_url=instance.url, timeout=30) as http, ThreadPoolExecutor(2) as threads:
        token = sign_in(http)["refresh_token"]
        with psycopg.connect(site.database_url) as connection:
            connection.execute("SELECT 1 FROM oauth_session WHERE revoked_at IS NULL FOR UPDATE")
            answer = threads.submit(httpx.post, f"{instance.url}/oauth/token", data=refresh_form(token), timeout=30)
            time.sleep(0.2)
            stopped = threads.submit(instance.stop)
            time.sleep(0.2)
            readiness = instance.readiness()
        kept = http.get("/live")

        assert answer.result().status_code == 200
        assert readiness == 503
        assert kept.headers["Connection"] == "close"
        assert stopped.result() == 0
        assert instance.readiness() == 0
