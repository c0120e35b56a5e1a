"""PostgreSQL hangs, is slow, has a locked table, or lets in few: who waits is told within seconds, and the key set is served as before.

HANG_SECONDS=20 and MANY_CLIENTS=64 make it long.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest

from tests.faults.crowd import Answers, crowd
from tests.faults.siege import Row
from tests.faults.site import JWKS_P99_SECONDS, LATEST_ANSWER_SECONDS, LATEST_REFUSAL_SECONDS, RECOVERY_SECONDS, Site

HANG_SECONDS = float(os.environ.get("HANG_SECONDS") or 4)
NOTICED_SECONDS = 3.0  # until the statements that were under way have been given up
CLIENTS = 12  # there are eight threads
MANY = int(os.environ.get("MANY_CLIENTS") or 24)


@contextmanager
def hanging(site: Site) -> Iterator[None]:
    with site.cluster.primary.frozen():
        yield


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Another program has locked the table of sessions."""
    with psycopg.connect(site.server.environment["AUTH_SERVICE__DB_URL"]) as connection:
        connection.execute("LOCK TABLE oauth_session IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def stuttering(site: Site) -> Iterator[None]:
    """It stands still for most of the time, so that each statement takes half a second or so."""
    stop = threading.Event()
    thread = threading.Thread(target=_stutter, args=(site, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _stutter(site: Site, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        with site.cluster.primary.frozen():
            time.sleep(0.5)


def ill_treat(site: Site, row: Row, fault: AbstractContextManager[None]) -> Answers:
    with crowd(site, clients=CLIENTS) as answers:
        time.sleep(0.5)
        with fault:
            began_at = time.monotonic()
            time.sleep(HANG_SECONDS)
        row.recovery.append(site.seconds_to_recover())
    row.done, row.refused = row.done + 1, row.refused + answers.statuses()[503]

    answers.ensure_orderly()
    # While it lasted: who waits is told, and who verifies does not wait.
    assert answers.refused_before(began_at + HANG_SECONDS) > 0
    assert answers.fetched_between(began_at + NOTICED_SECONDS, began_at + HANG_SECONDS) > 0
    assert answers.slowest() <= LATEST_ANSWER_SECONDS
    assert answers.key_set_p99(since=began_at + NOTICED_SECONDS) <= JWKS_P99_SECONDS
    assert max(row.recovery) <= RECOVERY_SECONDS + 3  # five seconds where nothing else runs
    assert "Traceback" not in site.server.output()
    return answers


@pytest.mark.parametrize("fault", [hanging, locked, stuttering])
def test_a_request_that_waits_is_told_within_seconds_and_the_key_set_does_not_wait(site: Site, fault) -> None:
    ill_treat(site, site.row(f"PostgreSQL, {fault.__name__}"), fault(site))


def test_few_connections_serve_some_and_refuse_the_others_at_once(site: Site) -> None:
    row = site.row(f"PostgreSQL lets in five, for {MANY} clients")
    primary = site.cluster.primary
    primary.stop(signal.SIGINT)
    primary.start("max_connections=5", "superuser_reserved_connections=0", "max_wal_senders=0", "wal_level=minimal")
    try:
        with crowd(site, clients=MANY) as answers:
            time.sleep(HANG_SECONDS / 2)
            states = {site.fetch("/ready").status_code for _ in range(30)}
    finally:
        primary.stop(signal.SIGINT)
        primary.start()
    row.recovery.append(site.seconds_to_recover())
    row.done, row.refused = 1, answers.statuses()[503]

    answers.ensure_orderly()
    assert answers.statuses()[200] > 0
    assert answers.slowest() <= LATEST_ANSWER_SECONDS
    assert answers.slowest_refusal() <= LATEST_REFUSAL_SECONDS
    assert 503 in states
    assert max(row.recovery) <= RECOVERY_SECONDS
