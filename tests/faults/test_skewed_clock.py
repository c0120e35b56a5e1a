"""The clock of one of two servers is wrong, and steps while it serves: what is stored expires, and locks, by the database's.

STEPS=200 lets it step so often under load.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import cycle
from threading import Event
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from tests.e2e.calls import SIGN_IN_FORM, refresh, refresh_form, sign_in
from tests.e2e.servers import ROOT, Server, authserver, server_command, serving
from tests.e2e.windows import new_address
from tests.e2e.wire import Wire, form_request
from tests.faults.processes import Gunicorn
from tests.faults.siege import Row
from tests.faults.wrong_clock import WrongClock
from tests.postgres import free_port

STEPS = int(os.environ.get("STEPS") or 8)
STEP_EVERY = 0.25  # seconds
APPS = 2
TRUE = timedelta(0)
WRONG = [timedelta(minutes=minutes) for minutes in (-5, 5, -60, 60)]
LEEWAY_SECONDS = 30  # what the documentation asks of who verifies
LONGEST_SECONDS = 10
WRONG_PASSWORD = SIGN_IN_FORM | {"password": "wrong"}


def signed(value: object) -> str:
    return f"{value.total_seconds():+.0f} s" if isinstance(value, timedelta) else str(value)


@dataclass(frozen=True)
class Site:
    server: Server  # the right one
    right: httpx.Client
    wrong: httpx.Client
    clock: WrongClock
    gunicorn: Gunicorn  # of the wrong one
    database: psycopg.Connection[Any]

    @property
    def both(self) -> tuple[httpx.Client, httpx.Client]:
        return self.wrong, self.right

    def tokens(self, http: httpx.Client) -> dict[str, Any]:
        """Of a new session, from an address that nobody used before."""
        return sign_in(http, X_Forwarded_For=new_address())

    def expire(self, tokens: dict[str, Any], *, after: timedelta) -> None:
        statement = "UPDATE oauth_session SET expires_at = clock_timestamp() + %s WHERE id = %s"
        self.database.execute(statement, (after, claims_of(tokens)["sid"]))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not os.environ.get("TEST_DB_URL"):
        pytest.skip("SQLite has no clock of its own, and serves one server")
    folder = tmp_path_factory.mktemp("clocks")
    clock = WrongClock(folder)
    clock.set(WRONG[0])
    variables = {"AUTH_SERVICE__TRUSTED_PROXIES": "127.0.0.1/32", "AUTH_SERVICE__RATE_LIMIT_PER_IP": "100000000/m"}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        right = stack.enter_context(authserver(folder, **variables))
        port = stack.enter_context(another(right, clock=clock, log="wrong.log"))
        yield Site(
            right,
            stack.enter_context(httpx.Client(base_url=right.base_url, timeout=20)),
            stack.enter_context(httpx.Client(base_url=f"http://localhost:{port}", timeout=20)),
            clock,
            Gunicorn.serving(port),
            stack.enter_context(psycopg.connect(right.environment["AUTH_SERVICE__DB_URL"], autocommit=True)),
        )


@contextmanager
def another(server: Server, *, clock: WrongClock, log: str) -> Iterator[int]:
    """A server beside this one, with this clock: its port."""
    port = free_port()
    environment = server.environment | clock.environment | {"AUTH_SERVICE__PORT": str(port)}
    ready_url = f"http://localhost:{port}/ready"
    with serving(server_command(), cwd=ROOT, environment=environment, log=server.folder / log, ready_url=ready_url):
        yield port


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    yield running
    running.clock.set(TRUE)


def claims_of(tokens: dict[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    return claims


def profile(http: httpx.Client, tokens: dict[str, Any]) -> int:
    return http.get("/api/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}).status_code


def ahead(http: httpx.Client) -> timedelta:
    """By what this server says in its answers."""
    return parsedate_to_datetime(http.get("/live").headers["Date"]) - datetime.now(UTC)


@pytest.mark.parametrize("wrong", WRONG, ids=signed)
def test_the_clock_is_wrong_in_one_server_alone(site: Site, wrong: timedelta) -> None:
    site.clock.set(wrong)

    assert abs(ahead(site.wrong) - wrong) < timedelta(seconds=5)
    assert abs(ahead(site.right)) < timedelta(seconds=5)


@pytest.mark.parametrize("wrong", WRONG, ids=signed)
def test_a_lock_holds_as_long_as_the_database_says(site: Site, wrong: timedelta) -> None:
    from_here = {"X-Forwarded-For": new_address()}
    site.clock.set(wrong)
    for _ in range(5):
        assert site.wrong.post("/oauth/token", data=WRONG_PASSWORD, headers=from_here).json()["error"] == "invalid_grant"

    locked = []
    for step in (wrong, TRUE, -wrong):
        site.clock.set(step)
        locked += [http.post("/oauth/token", data=SIGN_IN_FORM, headers=from_here).json() for http in site.both]
    site.database.execute("UPDATE accounts_logincounter SET locked_until = clock_timestamp() WHERE locked_until IS NOT NULL")
    opened = [http.post("/oauth/token", data=SIGN_IN_FORM, headers=from_here).status_code for http in site.both]

    assert {answer["error"] for answer in locked} == {"account_locked"}
    assert all(880 < answer["retry_after"] <= 900 for answer in locked)
    assert opened == [200, 200]


@pytest.mark.parametrize("wrong", WRONG, ids=signed)
def test_a_session_lives_as_long_as_the_database_says(site: Site, wrong: timedelta) -> None:
    live, over = site.tokens(site.right), site.tokens(site.right)
    site.expire(live, after=timedelta(seconds=60))
    site.expire(over, after=timedelta(seconds=-1))

    site.clock.set(wrong)
    refused = [refresh(http, over["refresh_token"]).json()["error"] for http in site.both]
    first = refresh(site.wrong, live["refresh_token"])
    second = refresh(site.right, first.json()["refresh_token"])

    assert refused == ["invalid_grant", "invalid_grant"]
    assert (first.status_code, second.status_code) == (200, 200)


@pytest.mark.parametrize("wrong", WRONG, ids=signed)
def test_what_it_writes_is_stamped_by_the_database(site: Site, wrong: timedelta) -> None:
    site.clock.set(wrong)

    session = claims_of(site.tokens(site.wrong))["sid"]

    columns = "clock_timestamp() - created_at, expires_at - created_at"
    row = site.database.execute(f"SELECT {columns} FROM oauth_session WHERE id = %s", (session,)).fetchone()
    assert row is not None
    assert TRUE <= row[0] < timedelta(seconds=10)
    assert abs(row[1] - timedelta(days=30)) < timedelta(seconds=10)


@pytest.mark.parametrize("apart", [timedelta(seconds=seconds) for seconds in (-2, 2, -50, 50)], ids=signed)
def test_a_token_of_one_is_good_at_the_other_as_long_as_the_skew_allows(site: Site, apart: timedelta) -> None:
    site.clock.set(apart)

    of_wrong, of_right = site.tokens(site.wrong), site.tokens(site.right)

    assert [profile(http, tokens) for http in site.both for tokens in (of_wrong, of_right)] == [200] * 4


@pytest.mark.parametrize("apart", [timedelta(seconds=seconds) for seconds in (-2, 2)], ids=signed)
def test_a_token_of_a_clock_that_is_seconds_away_is_good_offline(site: Site, apart: timedelta) -> None:
    site.clock.set(apart)
    value = site.tokens(site.wrong)["access_token"]

    now = time.time()
    keys = jwt.PyJWKSet.from_dict(site.right.get("/.well-known/jwks.json").json())
    key = keys[jwt.get_unverified_header(value)["kid"]]
    claims = jwt.decode(value, key, algorithms=["RS256"], audience="codelab-api", leeway=LEEWAY_SECONDS)

    assert abs(claims["iat"] - now - apart.total_seconds()) < 3
    assert claims["nbf"] < now < claims["exp"]  # also for who allows for no skew


@pytest.mark.parametrize(("wrong", "elsewhere"), [(WRONG[0], 200), *((wrong, 401) for wrong in WRONG[1:])], ids=signed)
def test_beyond_the_skew_access_tokens_suffer_and_no_session_does(site: Site, wrong: timedelta, elsewhere: int) -> None:
    site.clock.set(wrong)

    tokens = site.tokens(site.wrong)
    answers = [profile(http, tokens) for http in site.both]
    site.clock.set(TRUE)
    refreshed = refresh(site.wrong, tokens["refresh_token"]).json()

    assert answers == [200, elsewhere]  # five minutes late it only ends five minutes early
    assert [profile(http, refreshed) for http in site.both] == [200, 200]


def test_the_doctor_tells_of_a_clock_beyond_the_skew(site: Site) -> None:
    site.clock.set(WRONG[1])

    command = [sys.executable, "manage.py", "doctor", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=site.gunicorn.environment(), capture_output=True, encoding="utf-8", timeout=60, check=False
    )

    [finding] = [each for each in json.loads(done.stdout)["findings"] if each["check"] == "clocks"]
    assert (finding["level"], done.returncode) == ("fail", 1)
    assert re.match(r"The database's is (299|300)\.\d\d s behind this machine's; 60 s are allowed", finding["found"])


@dataclass
class Apps:
    """They refresh at both servers in turn, ask whether they are ready, and never send a request twice."""

    urls: list[str]
    stop: Event = field(default_factory=Event)
    statuses: Counter[int] = field(default_factory=Counter)
    longest: float = 0.0

    def run(self, token: str) -> None:
        with ExitStack() as stack:
            servers = [stack.enter_context(httpx.Client(base_url=url, timeout=30)) for url in self.urls]
            for http in cycle(servers):
                if self.stop.is_set():
                    return
                began_at = time.monotonic()
                answers = refresh(http, token), http.get("/ready")
                self.longest = max(self.longest, time.monotonic() - began_at)
                self.statuses.update(answer.status_code for answer in answers)
                token = answers[0].json()["refresh_token"]

    @contextmanager
    def running(self, tokens: list[str]) -> Iterator[None]:
        with ThreadPoolExecutor(len(tokens)) as threads:
            begun = [threads.submit(self.run, token) for token in tokens]
            try:
                yield
            finally:
                self.stop.set()
        for each in begun:
            each.result()


def test_no_request_fails_or_waits_while_the_clock_steps(site: Site, rows: list[Row]) -> None:
    apps = Apps([str(http.base_url) for http in site.both])
    tokens = [site.tokens(site.wrong)["refresh_token"] for _ in range(APPS)]
    workers = site.gunicorn.workers()

    with apps.running(tokens):
        for _, step in zip(range(STEPS), cycle(WRONG), strict=False):
            site.clock.set(step)
            time.sleep(STEP_EVERY)
    failed = apps.statuses.total() - apps.statuses[200]
    rows.append(Row("a clock steps", done=STEPS, pairs=apps.statuses.total() // 2, forbidden={"5xx": failed}))

    assert not failed, apps.statuses
    assert apps.longest < LONGEST_SECONDS
    assert site.gunicorn.workers() == workers  # gunicorn kills those that it takes for stuck


def test_a_request_in_hand_is_answered_when_the_clock_is_set_forward_while_the_server_stops(site: Site) -> None:
    request = form_request(refresh_form(site.tokens(site.right)["refresh_token"]))

    with another(site.server, clock=site.clock, log="stopped.log") as port, Wire(port) as wire:
        wire.send(request[:-1])
        time.sleep(0.3)
        os.kill(Gunicorn.serving(port).pid, signal.SIGTERM)
        time.sleep(0.2)
        site.clock.set(WRONG[3])
        time.sleep(0.5)
        wire.send(request[-1:])
        answer = wire.read()

    assert answer is not None
    assert answer.status == 200
