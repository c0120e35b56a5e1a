"""Many come at once: after an outage, with one token, or to guess passwords. Who has a token is served.

HERD=500, TABS=200 and FLOOD_SECONDS=20 make it long; GOODPUT is the least share of the usual rate right after an outage.
"""

import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from json import loads
from urllib.parse import urlencode

import pytest

from authserver.patience import SLOW_FOR_SECONDS
from tests.bench.load import Client, Load, in_a_process_of_its_own, run_threads
from tests.e2e.calls import CLIENT_ID, refresh_form
from tests.e2e.windows import new_address
from tests.faults.siege import Row
from tests.faults.site import LATEST_ANSWER_SECONDS, REFRESH_P99_SECONDS, Site

HERD = int(os.environ.get("HERD") or 24)
TABS = int(os.environ.get("TABS") or 40)
FLOOD_SECONDS = float(os.environ.get("FLOOD_SECONDS") or 2)
GOODPUT = float(os.environ.get("GOODPUT") or 0)
REFUSED_AT_MOST = float(os.environ.get("REFUSED_AT_MOST") or 0.2)  # of the refreshes: where everything is slow, some are
GUESSERS, REFRESHERS = 8, 2
TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


class Member:
    """One client of the herd, with one token and the key of its refresh."""

    def __init__(self, site: Site, token: str, *, key: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", site.server.port, timeout=60)
        self._form, self._headers = urlencode(refresh_form(token)), TYPE | {"Idempotency-Key": key}
        self.status, self.retry_after, self.seconds, self.successor = 0, 0, 0.0, ""

    def ask(self, start: threading.Barrier) -> None:
        start.wait(timeout=60)
        began_at = time.monotonic()
        with closing(self._connection) as connection:
            connection.request("POST", "/oauth/token", self._form, self._headers)
            answer = connection.getresponse()
            body = loads(answer.read())
        self.status, self.retry_after = answer.status, int(answer.headers.get("Retry-After", 0))
        self.successor, self.seconds = body.get("refresh_token", ""), time.monotonic() - began_at


def stampede(members: list[Member]) -> float:
    """All of them ask at the same time. Seconds until each has an answer."""
    start = threading.Barrier(len(members) + 1)
    with ThreadPoolExecutor(len(members)) as threads:
        running = [threads.submit(member.ask, start) for member in members]
        start.wait(timeout=60)
        began_at = time.monotonic()
        for future in running:
            future.result()
    return time.monotonic() - began_at


def come_again(members: list[Member]) -> int:
    """Who was refused waits as long as it was told to, and asks again. How often that was so."""
    rounds = 0
    while waiting := [member for member in members if member.status == 503]:
        rounds += 1
        assert rounds < 20, Counter(member.status for member in members)
        time.sleep(min(member.retry_after for member in waiting))
        stampede(waiting)
    return rounds


def test_a_herd_that_comes_back_after_an_outage_is_served_at_the_usual_rate(site: Site) -> None:
    row = site.row(f"herd of {HERD} after an outage")
    with ThreadPoolExecutor(4) as threads:
        tokens = list(threads.map(lambda _: site.token(), range(HERD)))
    members = [Member(site, token, key=f"herd-{token[-12:]}") for token in tokens]

    site.cluster.primary.stop(signal.SIGQUIT)
    stampede(members)
    told = Counter((member.status, member.retry_after) for member in members)
    site.cluster.primary.start()
    row.recovery.append(site.seconds_to_recover())
    back = stampede(members)
    refused = sum(member.status == 503 for member in members)
    come_again(members)
    successors = [Member(site, member.successor, key=f"next-{member.successor[-12:]}") for member in members]
    usual = stampede(successors)
    come_again(successors)

    row.done, row.pairs, row.refused = 1, 2 * HERD, HERD + refused
    assert {status for status, _ in told} == {503}
    assert {seconds for _, seconds in told} == {1, 2, 3}
    assert {member.status for member in [*members, *successors]} == {200}
    assert max(member.seconds for member in [*members, *successors]) <= LATEST_ANSWER_SECONDS
    assert usual / back >= GOODPUT, f"{HERD / back:.0f} refreshes a second after the outage, {HERD / usual:.0f} later"


@pytest.mark.checklist(60)
def test_a_herd_with_one_token_and_one_key_is_given_one_successor(site: Site) -> None:
    row = site.row(f"{TABS} tabs with one token")
    token = site.token()
    members = [Member(site, token, key="the-key-of-all-tabs") for _ in range(TABS)]

    stampede(members)
    row.refused = sum(member.status == 503 for member in members)
    come_again(members)

    row.done, row.pairs = TABS, 1
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
