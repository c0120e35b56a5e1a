"""The primary of the database dies and a replica takes its place, or it takes no writes: nobody restarts the server, nobody signs in again.

FAILOVERS=10 makes it long.
"""

import os
from pathlib import Path

import httpx
import pytest

from tests.e2e.calls import sign_in
from tests.faults.site import DOCUMENTS, RECOVERY_SECONDS, Site, ensure_refusal

FAILOVERS = int(os.environ.get("FAILOVERS") or 1)
CAUGHT_UP, REUSED = "session:refresh:caught_up", "session:refresh_token:reused"


def refreshed(site: Site, token: str, *, times: int = 1) -> str:
    """The newest refresh token of the session after so many refreshes."""
    for _ in range(times):
        answer = site.refresh(token)
        assert answer.status_code == 200, answer.text
        token = answer.json()["refresh_token"]
    return token


def test_nothing_that_was_acknowledged_is_lost_with_a_synchronous_replica(site: Site, tmp_path: Path) -> None:
    row = site.row("failover, synchronous replica")
    caught_up = site.database.count(CAUGHT_UP)

    with site.siege(tmp_path).under_way(row):
        for _ in range(FAILOVERS):
            with site.cluster.replica(synchronous=True):
                site.cluster.fail_over()
                row.recovery.append(site.seconds_to_recover())
            row.done += 1

    assert max(row.recovery) <= RECOVERY_SECONDS
    assert site.database.count(CAUGHT_UP) == caught_up
    assert "Traceback" not in site.server.output()


@pytest.mark.checklist(65)
def test_who_refreshed_in_the_seconds_that_an_asynchronous_replica_lost_stays_signed_in(site: Site) -> None:
    row = site.row("failover, asynchronous replica that lost writes")
    caught_up, reused = site.database.count(CAUGHT_UP), site.database.count(REUSED)
    first = [site.token() for _ in range(4)]

    with site.cluster.replica(synchronous=False) as replica:
        kept = [refreshed(site, token) for token in first]
        lsn = site.cluster.primary.query("SELECT pg_current_wal_lsn()")[0][0]
        replica.wait_for(lsn)
        replica.hear_no_more()
        newest = [refreshed(site, token, times=3) for token in kept]
        lost = site.token()
        site.cluster.fail_over()
        row.recovery.append(site.seconds_to_recover())
        row.done += 1

        again = [site.refresh(token) for token in newest]
        of_lost = site.refresh(lost)

    row.pairs = len(first) * 6 + 1
    row.forbidden = {"logged out": sum(answer.status_code != 200 for answer in again)}
    assert [answer.status_code for answer in again] == [200] * len(again)
    assert site.database.count(CAUGHT_UP) - caught_up == len(again)
    # The session began and ended in those seconds: the database has never heard of it.
    assert (of_lost.status_code, of_lost.json()["error"]) == (400, "invalid_grant")
    # What was spent in those seconds is spent, and so is what was spent before them.
    assert site.database.count(REUSED) == reused
    for token, answer in zip([kept[0], newest[1], first[2]], again, strict=False):
        assert site.refresh(token).json()["error"] == "invalid_grant"
        assert site.refresh(answer.json()["refresh_token"]).json()["error"] == "invalid_grant"
    assert site.database.count(REUSED) - reused == 3


def test_a_primary_that_takes_no_writes_is_read_and_grants_wait(site: Site) -> None:
    row = site.row("primary that is read-only")
    tokens = sign_in(site.http)
    [secret] = [line.rpartition(": ")[2] for line in site.server.bootstrap_output.splitlines() if "shown once" in line]
    caller = ("codelab-internal", secret)
    asked = {"token": tokens["access_token"]}

    site.cluster.primary.configure(default_transaction_read_only="on")
    try:
        documents = [site.fetch(path).status_code for path in DOCUMENTS for _ in range(4)]
        introspected = [
            httpx.post(f"{site.server.base_url}/oauth/introspect", data=asked, auth=caller, timeout=20).json() for _ in range(4)
        ]
        refused = [site.refresh(tokens["refresh_token"]) for _ in range(4)] + [site.ask() for _ in range(4)]
        ready = site.fetch("/ready")
    finally:
        site.cluster.primary.configure(default_transaction_read_only="")
    row.recovery.append(site.seconds_to_recover())

    row.done, row.refused = 1, len(refused)
    assert set(documents) == {200}
    assert [answer["active"] for answer in introspected] == [True] * 4
    for answer in refused:
        ensure_refusal(answer)
    assert (ready.status_code, ready.json()["database"]) == (503, "read-only")
    assert max(row.recovery) <= RECOVERY_SECONDS
    assert site.refresh(tokens["refresh_token"]).status_code == 200
