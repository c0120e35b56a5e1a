"""Workers are killed (SIGKILL) in the middle of refreshes: who sends an Idempotency-Key loses nothing.

REFRESHES=10000 makes it long.
"""

import os

import pytest

from tests.faults.siege import Row, fill_in
from tests.faults.storm import DOCUMENTED, GUIDE, LEAST_KILLS, Outcome, Storm

REFRESHES = int(os.environ.get("REFRESHES") or 600)


@pytest.fixture(scope="module")
def outcome(server, gunicorn, database, http, tmp_path_factory, report, rows):
    storm = Storm(port=server.port, gunicorn=gunicorn, database=database, http=http, folder=tmp_path_factory.mktemp("oracle"))
    outcome = storm.rage(least=REFRESHES)
    clients = f"{DOCUMENTED} clients with an Idempotency-Key, {GUIDE} without"
    report.append(outcome.table(f"SIGKILL of workers during refreshes: {database.promise()}; {clients}"))
    row = Row(f"workers, SIGKILL ({database.promise().partition(',')[0]})", done=outcome.kills)
    fill_in(row, outcome)
    row.forbidden["reuse without a record"] = 0  # as the table says, of clients without a key
    rows.append(row)
    return outcome


def test_the_kills_hit_requests(outcome: Outcome):
    assert outcome.kills >= LEAST_KILLS
    assert outcome.total["retries"] > 0


def test_every_client_gets_an_answer_and_no_other_than_the_contract_names(outcome: Outcome, server):
    assert not outcome.complaints, "\n".join(outcome.complaints)
    assert outcome.total["other 5xx"] == 0, server.output()
    assert outcome.total["unexpected"] == 0
    assert "Traceback" not in server.output()


@pytest.mark.checklist(61)
def test_no_client_that_sends_keys_is_logged_out(outcome: Outcome):
    assert outcome.documented["logged out"] == 0, "\n".join(outcome.complaints)


def test_no_pair_that_a_client_has_received_is_lost(outcome: Outcome):
    assert not outcome.lost, "\n".join(outcome.lost)


@pytest.mark.checklist(60)
def test_no_refresh_token_is_exchanged_for_two(outcome: Outcome):
    assert outcome.forks == 0


@pytest.mark.spec("RFC 9700", "4.14.2", "reuse revokes the active refresh token")
def test_nothing_but_the_newest_refresh_token_of_a_session_works(outcome: Outcome):
    assert not outcome.alive, "\n".join(outcome.alive)


def test_the_database_has_counted_each_refresh_once_and_forgotten_none(outcome: Outcome):
    assert not outcome.miscounted, "\n".join(outcome.miscounted)
    assert outcome.caught_up == 0


def test_every_access_token_verifies_and_names_the_session_of_its_client(outcome: Outcome):
    assert not outcome.unverified, "\n".join(outcome.unverified)
