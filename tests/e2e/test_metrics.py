"""The metrics of a real server, whose processes are killed while they count."""

import os
import re
import secrets
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.calls import CLIENT_ID, refresh, sign_in
from tests.e2e.servers import authserver
from tests.faults.processes import Gunicorn

TOKEN = secrets.token_urlsafe(32)
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
APPS, KILLS = 3, 6


@pytest.fixture(scope="module")
def server(start_server):
    return start_server(
        AUTH_SERVICE__METRICS_TOKEN=TOKEN, AUTH_SERVICE__LOG_FORMAT="json", AUTH_SERVICE__ENABLE_RATE_LIMITING="false", WEB_CONCURRENCY="2"
    )


@pytest.fixture(scope="module")
def gunicorn(server):
    return Gunicorn.serving(server.port)


@pytest.fixture(scope="module")
def folder(gunicorn):
    [found] = folders_of(gunicorn)
    return found


def folders_of(gunicorn):
    """Where the processes of this server count."""
    shared_memory, temporary = Path("/dev/shm"), Path("/tmp")  # noqa: S108 - it is looked for there, not made
    return [path for base in (shared_memory, temporary) for path in base.glob(f"authserver-metrics-{gunicorn.pid}-*")]


def samples(http):
    """Every sample by its name and labels. None when the server process ended before it had answered."""
    try:
        response = http.get("/metrics", headers=HEADERS)
    except httpx.TransportError:
        return None
    assert response.status_code == 200, response.text
    families = text_string_to_metric_families(response.text)
    return {(sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples}


def sample(values, name, **labels):
    return values.get((name, *sorted(labels.items())), 0)


def wait_until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.checklist(113)
def test_without_the_token_the_metrics_are_not_there(http):
    refused, unknown = http.get("/metrics"), http.get("/no-such-page")

    assert (refused.status_code, refused.json()["error"]) == (404, "not_found")
    assert [*refused.headers] == [*unknown.headers]


def test_prometheus_asks_by_address(server):
    response = httpx.get(f"http://127.0.0.1:{server.port}/metrics", headers=HEADERS | {"Host": "10.1.2.3"})

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_the_clients_of_the_server_are_named_and_the_store_is_up(http):
    sign_in(http)

    values = samples(http)

    assert sample(values, "auth_token_requests_total", grant="password", outcome="ok", client=CLIENT_ID) >= 1
    assert sample(values, "auth_store_up", store="database") == 1
    assert time.time() - 600 < sample(values, "auth_signing_key_timestamp_seconds", instant="signs since") < time.time()
    assert sample(values, "auth_password_hashes", state="hashing") == 0
    assert sample(values, "auth_password_hash_wait_seconds_count") >= 1


def test_the_server_sees_itself_alive(http):
    wait_until(lambda: sample(samples(http) or {}, "auth_instances", state="alive") == 1)

    values = samples(http)
    assert sample(values, "auth_instance_warnings", warning="instances_without_redis") == 0
    if os.environ.get("TEST_DB_URL"):
        # One of its processes measures, at the next row that it writes where the one before was killed.
        wait_until(lambda: sample(samples(http) or {}, "auth_database_connections", kind="used") > 1)
        values = samples(http)
        assert sample(values, "auth_database_connections", kind="used") <= sample(values, "auth_database_connections", kind="most")


class App:
    """Refreshes as often as it can, and repeats what broke off with the key it had; that may or may not have been counted."""

    def __init__(self, server):
        self.http = httpx.Client(base_url=server.base_url, timeout=20)
        self.value = sign_in(self.http)["refresh_token"]
        self.answered = self.broken = 0

    def run(self, stop):
        while not stop.is_set():
            key = secrets.token_hex(16)
            while (response := self.attempt(key)) is None:
                time.sleep(0.01)
            self.value = response.json()["refresh_token"]
            self.answered += 1
        self.http.close()

    def attempt(self, key):
        try:
            response = refresh(self.http, self.value, Idempotency_Key=key)
        except httpx.TransportError:
            self.broken += 1
            return None
        assert response.status_code == 200, response.text
        return response


def test_killed_processes_lose_no_count_and_no_scrape_sees_one_fall(server, gunicorn, http, folder):
    wait_until(lambda: samples(http) is not None)
    apps, stop, scrapes, sizes = [App(server) for _ in range(APPS)], threading.Event(), [], []
    before = samples(http)

    with ThreadPoolExecutor(APPS) as threads:
        running = [threads.submit(app.run, stop) for app in apps]
        try:
            for kill in range(1, KILLS + 1):
                wait_until(lambda: gunicorn.workers() and all(app.answered >= 5 * kill for app in apps))  # noqa: B023 - called at once
                scrapes.append(samples(http))
                gunicorn.kill(gunicorn.workers()[0])
                scrapes += [samples(http) for _ in range(5)]
                sizes.append(len([*folder.glob("*.db")]))
        finally:
            stop.set()
        for future in running:
            future.result()
    wait_until(lambda: samples(http) is not None)
    after = samples(http)

    seen = [before, *(scrape for scrape in scrapes if scrape is not None), after]
    counters = {key for scrape in seen for key in scrape if key[0].endswith(("_total", "_bucket", "_count", "_sum"))}
    falls = [key for earlier, later in pairwise(seen) for key in counters if later.get(key, 0) < earlier.get(key, 0)]
    assert falls == []
    answered, broken = sum(app.answered for app in apps), sum(app.broken for app in apps)
    labels = {"grant": "refresh_token", "outcome": "ok", "client": CLIENT_ID}
    grown = sample(after, "auth_token_requests_total", **labels) - sample(before, "auth_token_requests_total", **labels)
    assert answered >= 5 * KILLS * APPS
    assert answered <= grown <= answered + broken
    # Of all that ended, of the process that forks, and five of each of those that serve or have just ended.
    assert max(sizes) <= 2 + 2 + 5 * 4


def test_the_processes_that_took_their_place_are_counted_exactly(http):
    wait_until(lambda: samples(http) is not None)
    value = sign_in(http)["refresh_token"]
    before = samples(http)

    for _ in range(20):
        value = refresh(http, value).json()["refresh_token"]
    after = samples(http)

    assert sample(after, "auth_refresh_token_rotations_total") - sample(before, "auth_refresh_token_rotations_total") == 20
    labels = {"grant": "refresh_token", "outcome": "ok", "client": CLIENT_ID}
    assert sample(after, "auth_token_requests_total", **labels) - sample(before, "auth_token_requests_total", **labels) == 20
    assert sample(after, "auth_store_up", store="database") == 1


def test_a_line_of_the_log_has_the_id_of_its_answer_and_no_thread_keeps_one(server, http):
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda _: http.post("/oauth/token", data={"grant_type": "password"}), range(40))]

    lines = dict(re.findall(r'"error_id": "(\w+)", "request_id": "(\w+)"', server.output()))
    assert {answer.json()["error_id"]: answer.headers["X-Request-ID"] for answer in answers}.items() <= lines.items()
    assert len({answer.headers["X-Request-ID"] for answer in answers}) == 40


def test_the_folder_and_the_row_of_the_instance_go_with_the_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authserver")
    with authserver(folder, postgres_url="") as other:
        gunicorn = Gunicorn.serving(other.port)
        assert len(folders_of(gunicorn)) == 1
        wait_until(lambda: instances_in(folder) == 1)

    assert folders_of(gunicorn) == []
    assert instances_in(folder) == 0


def instances_in(folder):
    with closing(sqlite3.connect(folder / "auth.db")) as database:
        return database.execute("SELECT count(*) FROM oauth_instance").fetchone()[0]
