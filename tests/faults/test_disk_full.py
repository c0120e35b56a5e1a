"""The disk of PostgreSQL is full, or the one of the log: the key set is served, nothing acknowledged is lost, nobody mends anything."""

import os
import time
from pathlib import Path

import psycopg
import pytest

from tests.e2e.calls import SIGN_IN_FORM
from tests.faults.disk import filled, need_small
from tests.faults.site import DOCUMENTS, RECOVERY_SECONDS, Site, ensure_refusal

FULL_SECONDS = float(os.environ.get("FULL_SECONDS") or 2)
# More than the files hold that PostgreSQL keeps for later.
USE_UP = "SELECT count(pg_logical_emit_message(false, 'ballast', repeat('x', 1000000))) FROM generate_series(1, 500)"


def test_a_full_disk_of_postgresql_refuses_grants_alone_and_mends_itself(site: Site, tmp_path: Path) -> None:
    need_small(site.cluster.folder)
    row = site.row("PostgreSQL, disk full")

    with site.siege(tmp_path).under_way(row):
        with filled(site.cluster.folder):
            with pytest.raises(psycopg.OperationalError):
                site.cluster.primary.query(USE_UP)
            until = time.monotonic() + FULL_SECONDS
            documents = []
            while time.monotonic() < until:
                documents += [site.fetch(path).status_code for path in DOCUMENTS]
                time.sleep(0.05)
            refused, ready = site.ask(), site.fetch("/ready")
        site.cluster.primary.ensure_started()
        row.recovery.append(site.seconds_to_recover())
        row.done += 1

    assert set(documents) == {200}
    ensure_refusal(refused)
    assert ready.status_code == 503
    assert row.refused > 0
    assert max(row.recovery) <= RECOVERY_SECONDS
    assert "Traceback" not in site.server.output()


def test_a_log_that_cannot_be_written_stops_nothing(site: Site, tmp_path: Path) -> None:
    need_small(site.server.folder)
    row = site.row("log, disk full")

    with site.siege(tmp_path).under_way(row):
        with filled(site.server.folder):
            time.sleep(FULL_SECONDS)
            answers = [site.ask() for _ in range(4)] + [site.fetch(path) for path in (*DOCUMENTS, "/ready")]
            wrong = site.ask(SIGN_IN_FORM | {"password": "wrong"})
            size = site.server.log.stat().st_size
        again = site.ask()
        row.done += 1

    assert [answer.status_code for answer in [*answers, again]] == [200] * (len(answers) + 1)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    assert row.refused == 0
    # What concerns security is in the database, in the transaction that it tells of, and what comes now is logged again.
    assert site.database.count("user:sign_in:failed") > 0
    assert site.server.log.stat().st_size > size
