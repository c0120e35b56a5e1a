"""Many come at once: after an outage, with one token, or to guess passwords. Who has a token is served.

HERD=5000, TABS=200 and FLOOD_SECONDS=20 make it long; GOODPUT is the least share of the usual rate right after an outage.
"""

import os
import signal
import time
from contextlib import closing
from json import loads

import pytest

from authserver.crowding import LONGEST_AWAY_SECONDS
from authserver.patience import SLOW_FOR_SECONDS
from tests.bench.load import Client, Load, in_a_process_of_its_own, run_threads
from tests.e2e.calls import CLIENT_ID, refresh_form
from tests.e2e.windows import new_address
from tests.faults import herd
from tests.faults.herd import Member, stampede
from tests.faults.siege import Row
from tests.faults.site import LATEST_ANSWER_SECONDS, REFRESH_P99_SECONDS, Site

HERD = int(os.environ.get("HERD") or 24)
TABS = int(os.environ.get("TABS") or 40)
FLOOD_SECONDS = float(os.environ.get("FLOOD_SECONDS") or 2)
GOODPUT = float(os.environ.get("GOODPUT") or 0)
REFUSED_AT_MOST = float(os.environ.get("REFUSED_AT_MOST") or 0.2)  # of the refreshes: where everything is slow, some are
HERD_P99_SECONDS = float(os.environ.get("HERD_P99_SECONDS") or 10)
PER_SECOND, AT_ONCE = 5000, 16  # of the herd, and of those who come one after the other
GUESSERS, REFRESHERS = 8, 2


def test_a_herd_that_comes_back_after_an_outage_is_served_at_the_usual_rate(site: Site, report: list[str]) -> None:
    row = site.row(f"herd of {HERD} after an outage")
    members = [Member(token, f"herd-{token[-12:]}") for token in site.tokens(HERD)]

    site.cluster.primary.stop(signal.SIGQUIT)
    told = stampede(site.server.port, members, spread=HERD / PER_SECOND, comes_again=False)
    site.cluster.primary.start()
    row.recovery.append(site.seconds_to_recover())
    time.sleep(max(0, max(member.retry_after for member in told) - 3))  # so far the places are given away
    back = stampede(site.server.port, members, spread=HERD / PER_SECOND)
    usual = stampede(site.server.port, [member.next() for member in back], at_once=AT_ONCE)

    report.append("\n".join(map(herd.line, ("told to come back", "back", "one after the other"), (told, back, usual))))
    row.done, row.pairs, row.refused = 1, 2 * HERD, HERD + sum(member.refusals for member in [*back, *usual])
    assert {member.status for member in told} == {503}
    assert {member.retry_after for member in told} <= set(range(1, LONGEST_AWAY_SECONDS + 3))
    assert len({member.retry_after for member in told}) >= 3
    assert {member.status for member in [*back, *usual]} == {200}
    assert sum(member.broken for member in [*told, *back, *usual]) == 0
    assert max(member.slowest for member in [*told, *back, *usual]) <= LATEST_ANSWER_SECONDS
    assert herd.p99(back) <= HERD_P99_SECONDS
    pace, usual_pace = herd.served_per_second(back), herd.served_per_second(usual)
    assert pace >= GOODPUT * usual_pace


@pytest.mark.checklist(60)
def test_a_herd_with_one_token_and_one_key_is_given_one_successor(site: Site) -> None:
    row = site.row(f"{TABS} tabs with one token")
    token = site.token()

    members = stampede(site.server.port, [Member(token, "the-key-of-all-tabs") for _ in range(TABS)])

    row.done, row.pairs, row.refused = TABS, 1, sum(member.refusals for member in members)
    assert {member.status for member in members} == {200}
    [successor] = {member.successor for member in members}
    assert site.refresh(successor).status_code == 200


def test_a_flood_of_passwords_leaves_refreshes_as_fast_as_they_were(site: Site) -> None:
    row = site.row("flood of passwords")
    tokens = [site.token() for _ in range(REFRESHERS)]
    time.sleep(SLOW_FOR_SECONDS)  # what was slow before is forgotten

    clients = [_Refreshes(site.server.port, token) for token in tokens]
    flood = in_a_process_of_its_own(_flood, site.server.port, FLOOD_SECONDS + 0.5)
    time.sleep(0.25)
    refreshes = run_threads(REFRESHERS, seconds=FLOOD_SECONDS, step=clients.__getitem__)
    guesses = flood()
    for client in clients:
        client.close()

    _fill_in(row, refreshes, guesses)
    assert set(refreshes.statuses) <= {200, 503}
    assert refreshes.statuses[503] <= REFUSED_AT_MOST * refreshes.statuses.total()
    assert refreshes.percentile(99) <= 1000 * REFRESH_P99_SECONDS
    assert set(guesses.statuses) <= {400, 503}
    assert guesses.statuses[503] > 0  # more came than may hash


def _fill_in(row: Row, refreshes: Load, guesses: Load) -> None:
    row.done, row.pairs, row.refused = guesses.statuses.total(), refreshes.statuses[200], guesses.statuses[503]
    row.forbidden = {"5xx": sum(number for status, number in guesses.statuses.items() if status >= 500 and status != 503)}


def _flood(port: int, seconds: float) -> Load:
    """Each guess comes from another address and is for another name: no ceiling answers it."""

    def step(index: int) -> "_Guesses":
        return _Guesses(port, index)

    return run_threads(GUESSERS, seconds=seconds, step=step)


class _Guesses:
    def __init__(self, port: int, index: int) -> None:
        self._port, self._index, self._number = port, index, 0

    def __call__(self) -> int:
        self._number += 1
        name = f"nobody-{self._index}-{self._number}"
        form = {"grant_type": "password", "username": name, "password": "Winter2026!", "client_id": CLIENT_ID}
        with closing(Client(self._port, address=new_address())) as client:
            status, _ = client.post(form)
        time.sleep(0.02)
        return status


class _Refreshes:
    """One session, again and again."""

    def __init__(self, port: int, token: str) -> None:
        self._client, self._token = Client(port), token

    def __call__(self) -> int:
        status, body = self._client.post(refresh_form(self._token))
        if status == 200:
            self._token = loads(body)["refresh_token"]
        time.sleep(0.02)
        return status

    def close(self) -> None:
        self._client.close()
