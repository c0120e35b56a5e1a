"""What is counted, under which labels, who may read it, and that nothing is lost or counted twice when processes come and go."""

import json
import math
import os
import runpy
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from accounts import metrics
from authserver import metrics_page
from authserver.env import Rate
from oauth import client_labels, keys, sessions, views
from oauth.models import Client, SigningKey
from tests.conftest import PASSWORD

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "the token of the tests for the metrics"


@pytest.fixture
def counted():
    """By how much a sample has grown since the test began."""
    before = {(sample.name, *sorted(sample.labels.items())): sample.value for family in REGISTRY.collect() for sample in family.samples}

    def growth(name, **labels):
        return (REGISTRY.get_sample_value(name, labels) or 0) - before.get((name, *sorted(labels.items())), 0)

    return growth


@pytest.fixture
def named(editor):
    """The editor is among the clients that have a label."""
    client_labels.labels.reload()
    yield
    client_labels.labels._names = frozenset()


@pytest.fixture
def scrape(client, settings):
    settings.METRICS_TOKEN = TOKEN

    def get(**headers):
        return client.get("/metrics", **{"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"} | headers)

    return get


def requests(grant, outcome, client="editor"):
    return {"grant": grant, "outcome": outcome, "client": client}


# --- Requests to the token endpoint --------------------------------------------------------------


def test_a_token_request_is_counted_by_grant_outcome_and_client(named, sign_in, refresh, counted):
    value = sign_in().body["refresh_token"]
    sign_in(password="wrong")
    refresh(value)
    refresh("garbage")
    sign_in(scope="auth:everything")

    assert counted("auth_token_requests_total", **requests("password", "ok")) == 1
    assert counted("auth_token_requests_total", **requests("password", "invalid_grant")) == 1
    assert counted("auth_token_requests_total", **requests("password", "invalid_scope")) == 1
    assert counted("auth_token_requests_total", **requests("refresh_token", "ok")) == 1
    assert counted("auth_token_requests_total", **requests("refresh_token", "invalid_grant")) == 1


def test_who_only_claims_to_be_a_client_is_counted_as_other(named, post, make_client, counted):
    make_client("robot", is_public=False)
    client_labels.labels.reload()

    for secret in ("", "a wrong secret"):
        post({"grant_type": "password", "client_id": "robot", "client_secret": secret})
    post({"grant_type": "password", "client_id": "nobody", "username": "alice", "password": PASSWORD})

    assert counted("auth_token_requests_total", **requests("password", "invalid_client", "other")) == 3
    assert counted("auth_token_requests_total", **requests("password", "invalid_client", "robot")) == 0


@pytest.mark.parametrize(
    ("form", "grant", "outcome"),
    [
        ({"grant_type": "mallory's own", "client_id": "editor"}, "other", "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "editor"}, "client_credentials", "unauthorized_client"),
        ({"client_id": "editor"}, "other", "invalid_request"),
        (b"grant_type=password&grant_type=password", "other", "invalid_request"),
    ],
)
def test_nothing_that_was_typed_becomes_a_label(named, post, counted, form, grant, outcome):
    post(form)

    is_known = outcome not in {"invalid_request"}
    assert counted("auth_token_requests_total", **requests(grant, outcome, "editor" if is_known else "other")) == 1
    assert "mallory" not in metrics_page.page().decode()


def test_a_bug_and_a_store_that_fails_are_counted_as_what_they_are(named, sign_in, counted, monkeypatch):
    def fail(error):
        def handle(request):
            raise error

        monkeypatch.setitem(views.GRANT_TYPES, "password", handle)
        return sign_in().status

    assert fail(ZeroDivisionError()) == 500
    assert fail(OperationalError("the database is away")) == 503

    assert counted("auth_token_requests_total", **requests("password", "server_error")) == 1
    assert counted("auth_token_requests_total", **requests("password", "temporarily_unavailable")) == 1
    assert counted("auth_store_errors_total", store="database") == 1


def test_the_time_of_every_request_is_observed(sign_in, counted):
    sign_in()
    sign_in(password="wrong")

    assert counted("auth_token_request_duration_seconds_count", grant="password") == 2
    assert 0 < counted("auth_token_request_duration_seconds_sum", grant="password") < 60
    assert counted("auth_token_request_duration_seconds_bucket", grant="password", le="+Inf") == 2


def test_only_the_first_hundred_clients_have_a_label(make_client, db):
    for number in range(client_labels.MOST + 1):
        Client.objects.create(client_id=f"client-{number}", name="x", client_type="public")
    labels = client_labels.ClientLabels()

    labels.reload()

    assert labels.label("client-0") == "client-0"
    assert labels.label("client-99") == "client-99"
    assert labels.label("client-100") == "other"
    assert labels.label("") == "other"


def test_the_names_are_read_in_one_statement_and_never_for_a_request(named, sign_in, refresh, count_statements):
    value = sign_in().body["refresh_token"]

    with count_statements() as statements:
        client_labels.labels.reload()
    assert len(statements) == 1
    with count_statements() as statements:
        assert refresh(value).status == 200
    assert not [query for query in statements.captured_queries if "LIMIT 100" in query["sql"]]


def test_without_the_database_the_names_read_last_stay(named, db, monkeypatch):
    def fail(*_):
        raise OperationalError("away")

    monkeypatch.setattr(Client.objects, "order_by", fail)

    client_labels.labels._reload_or_report()

    assert client_labels.labels.label("editor") == "editor"


# --- Passwords, refresh tokens, the store --------------------------------------------------------


def test_each_refused_password_is_counted_by_its_door_and_reason(sign_in, client, make_user, counted):
    make_user("bob", is_active=False)
    sign_in(password="wrong")
    sign_in(username="nobody")
    sign_in(username="bob")
    sign_in(password="x" * 5000)
    client.post("/sign-in", {"login": "alice", "password": "wrong"})

    for reason in ("wrong password", "unknown user", "disabled user", "password too long"):
        assert counted("auth_failed_login_attempts_total", door="token", reason=reason) == 1
    assert counted("auth_failed_login_attempts_total", door="browser", reason="wrong password") == 1


def test_each_lock_is_counted_once(sign_in, counted, settings):
    settings.RATE_LIMIT_FAILURES_PER_IP = Rate(1000, timedelta(minutes=1))
    for _ in range(settings.BRUTE_FORCE_THRESHOLD + 2):
        sign_in(password="wrong")

    assert counted("auth_lockouts_total", lane="source") == 1
    assert counted("auth_lockouts_total", lane="unknown sources") == 0


def test_the_instants_of_the_keys_are_told_when_they_change(db, settings):
    def told(instant):
        return REGISTRY.get_sample_value("auth_signing_key_timestamp_seconds", {"instant": instant})

    keys.ring._instants = {}
    keys.ring._go_round()
    signs, standby = SigningKey.objects.order_by("sequence")

    assert told("signs since") == signs.signs_from.timestamp()
    assert told("next signs from") == (signs.signs_from + settings.KEY_ROTATION_PERIOD).timestamp()
    assert told("next is known to all from") == (standby.published_at + settings.KEY_PUBLISH_LEAD).timestamp()
    settings.KEY_ROTATION_PERIOD = None
    keys.ring._go_round()
    assert math.isnan(told("next signs from"))  # nobody knows


def test_rotation_retry_and_reuse_are_counted(signed_in, refresh, counted):
    first, key = signed_in.body["refresh_token"], "a-key-of-the-client"
    second = refresh(first, key=key).body["refresh_token"]
    refresh(first, key=key)
    refresh(second)
    assert refresh(first).error == "invalid_grant"
    assert refresh(first).error == "invalid_grant"  # the session has ended: this is no reuse any more

    assert counted("auth_refresh_token_rotations_total") == 2
    assert counted("auth_refresh_retries_total") == 1
    assert counted("auth_refresh_token_reuse_total") == 1
    assert counted("auth_refresh_overlaps_total") == 0


def test_an_overlap_is_counted(signed_in, refresh, settings, counted):
    settings.REFRESH_OVERLAP_SECONDS = 10
    refresh(signed_in.body["refresh_token"])
    assert refresh(signed_in.body["refresh_token"]).status == 200

    assert counted("auth_refresh_overlaps_total") == 1
    assert counted("auth_refresh_token_rotations_total") == 1


def test_a_catch_up_is_counted(signed_in, refresh, session_of, counted):
    value = refresh(signed_in.body["refresh_token"]).body["refresh_token"]
    session = session_of(signed_in)
    type(session).objects.filter(pk=session.pk).update(generation=0)
    assert refresh(value).status == 200

    assert counted("auth_refresh_catch_ups_total") == 1


def test_a_reuse_is_counted_once_when_its_record_fails(signed_in, refresh, counted, monkeypatch):
    spent = signed_in.body["refresh_token"]
    refresh(spent)

    def fail(*_, **__):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(sessions.audit, "record", fail)
    refresh(spent)

    assert counted("auth_refresh_token_reuse_total") == 1


@pytest.mark.django_db(transaction=True)
def test_the_poll_of_the_keys_tells_whether_the_store_is_up(signing_key, monkeypatch):
    def fail(*_):
        raise OperationalError("away")

    keys.ring.reload()
    assert REGISTRY.get_sample_value("auth_store_up", {"store": "database"}) == 1
    monkeypatch.setattr(keys.SigningKey.objects, "order_by", fail)
    keys.ring._go_round()
    assert REGISTRY.get_sample_value("auth_store_up", {"store": "database"}) == 0
    monkeypatch.undo()
    keys.ring.reload()
    assert REGISTRY.get_sample_value("auth_store_up", {"store": "database"}) == 1


# --- GET /metrics --------------------------------------------------------------------------------


def answer_of(response):
    """All of an answer that a client could tell another by; ids are drawn anew for each."""
    ids = {"X-Request-ID": ""}
    body = {**response.json(), "error_id": ""} if response.content else None
    return response.status_code, {**response.headers, **ids}, body


@pytest.mark.checklist(113)
@pytest.mark.parametrize("method", ["get", "head", "post", "put", "delete", "options"])
@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ü€"]
)
def test_without_the_token_there_is_nothing(client, db, settings, method, authorization):
    settings.METRICS_TOKEN = TOKEN
    headers = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}

    response = getattr(client, method)("/metrics", **headers)

    assert response.status_code == 404
    assert answer_of(response) == answer_of(getattr(client, method)("/no-such-page", **headers))


@pytest.mark.checklist(113)
@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer", "", f"Bearer {TOKEN}"])
def test_without_the_setting_nobody_has_the_token(client, db, settings, authorization):
    settings.METRICS_TOKEN = ""

    assert client.get("/metrics", HTTP_AUTHORIZATION=authorization).status_code == 404


@pytest.mark.checklist(113)
def test_with_the_token_everything_that_is_counted_is_told_and_kept_nowhere(scrape, sign_in, named):
    sign_in()

    response = scrape()

    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response["Cache-Control"] == "no-store"
    assert b'auth_token_requests_total{client="editor",grant="password",outcome="ok"}' in response.content
    assert b"# TYPE auth_token_request_duration_seconds histogram" in response.content


def test_head_is_answered_like_get_and_other_methods_are_not_for_who_has_the_token(scrape, client):
    headers = {"HTTP_AUTHORIZATION": f"bearer {TOKEN}"}
    length = len(scrape().content)

    head, post = client.head("/metrics", **headers), client.post("/metrics", **headers)

    assert (head.status_code, head.content) == (200, b"")
    assert int(head["Content-Length"]) == pytest.approx(length, rel=0.05)  # seconds that are told have now more digits, now fewer
    assert (post.status_code, post["Allow"]) == (405, "GET, HEAD")


def test_prometheus_may_ask_by_address_and_in_clear(scrape, settings):
    settings.REQUIRE_HTTPS = True

    assert scrape(HTTP_HOST="10.0.0.7:8003").status_code == 200


def test_files_that_stay_locked_are_no_reason_to_wait_for_ever(scrape, monkeypatch):
    def fail():
        raise TimeoutError("the metrics are locked")

    monkeypatch.setattr(metrics_page, "page", fail)

    response = scrape()

    assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
    assert "Retry-After" in response.headers


# --- Processes that come and go ------------------------------------------------------------------


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def storm(tmp_path):
    """What was counted by processes of which half were killed at any moment, and what a scraper beside them saw."""
    program, environment = [sys.executable, "tests/project/counting.py"], os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with subprocess.Popen([*program, "scrape"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as scraper:
        try:
            assert scraper.stdout.readline() == "ready\n"
            done = run("tests/project/counting.py", "work", str(scraper.pid), PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
            assert done.returncode == 0, done.stderr
        finally:
            (tmp_path / "stop").touch()
        seen = json.loads(scraper.stdout.readline())
    assert scraper.returncode == 0
    return json.loads(done.stdout), seen


def test_processes_that_are_killed_lose_nothing_and_nothing_is_counted_twice(storm):
    worked, seen = storm

    assert worked["ended"] > 5000
    # A child that was killed in the middle of one count may or may not have got it down.
    assert worked["ended"] <= worked["observations"] <= worked["requests"] <= worked["began"]
    assert worked["began"] - worked["ended"] <= 37
    assert seen["scrapes"] > 50
    assert seen["falls"] == []


def test_the_folder_does_not_grow_with_the_processes_that_ended(storm):
    worked, _ = storm

    assert worked["most_files"] <= 2 + 2 * 2 + 3 * 3  # of all that ended, two of parent and scraper, three of each child
    assert worked["files"] <= 6
    assert worked["store_up"] == -1  # the dead do not say that the store is down


def test_a_scrape_does_not_wait_for_ever_for_a_process_that_stopped_in_the_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics_page, "LOCK_SECONDS", 0.05)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    began_at = time.monotonic()

    with metrics_page._locked(tmp_path, metrics_page.fcntl.LOCK_EX), pytest.raises(TimeoutError):
        metrics_page.page()
    with metrics_page._locked(tmp_path, metrics_page.fcntl.LOCK_SH), pytest.raises(TimeoutError):
        metrics_page.fold(tmp_path, alive=())

    assert time.monotonic() - began_at < 5
    assert metrics_page.page() == b""


def test_a_file_that_was_only_just_made_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_4711.db").touch()

    assert metrics_page.page() == b""
    metrics_page.fold(tmp_path, alive=())
    assert not (tmp_path / "counter_4711.db").exists()


START = """
import os, runpy, stat, sys
from pathlib import Path
folder = lambda: Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
runpy.run_path("authserver/gunicorn.py")
assert "prometheus_client" not in sys.modules
first = folder()
assert stat.S_IMODE(first.stat().st_mode) == 0o700
assert str(os.getpid()) in first.name
import authserver.wsgi  # as preload_app does
from prometheus_client import values
assert values.ValueClass._multiprocess
assert not [*first.glob("gauge_*")]
runpy.run_path("authserver/gunicorn.py")  # as SIGHUP does
assert folder() == first
child = os.fork()
if child == 0:
    sys.exit()  # a worker that ends
os.waitpid(child, 0)
assert first.is_dir()
print(first)
"""


def test_a_server_counts_in_a_private_folder_of_its_own_and_removes_it_at_the_end():
    done = run("-c", START, PROMETHEUS_MULTIPROC_DIR="/somebody/else's", TEST_DB_URL="", DJANGO_SETTINGS_MODULE="tests.settings")

    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("authserver-metrics-")
    assert not folder.exists()


def test_without_a_folder_the_process_counts_for_itself():
    assert metrics.ROTATIONS._value._multiprocess is False
    assert metrics_page.page().startswith(b"# HELP")


def test_the_settings_take_a_token_and_no_short_one(monkeypatch):
    monkeypatch.setenv("AUTH_SERVICE__METRICS_TOKEN", "short")

    with pytest.raises(SystemExit, match="AUTH_SERVICE__METRICS_TOKEN has a value of 5 characters"):
        runpy.run_path(str(ROOT / "authserver/settings.py"))
