"""Keys are rotated again and again, and one is revoked, while tokens are made: no verifier refuses a token that is good.

ROTATIONS=30 ROTATE_EVERY=10 makes it long.
"""

import os
import re
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from tests import node
from tests.e2e.calls import refresh, sign_in
from tests.e2e.servers import ROOT, Server, authserver, run
from tests.faults.processes import Gunicorn
from tests.faults.verifiers import KeptSet, Node, Token, Verifier, by_joserfc, by_pyjwt, by_python_jose

ROTATIONS = int(os.environ.get("ROTATIONS") or 2)
ROTATE_EVERY = float(os.environ.get("ROTATE_EVERY") or 8)  # seconds
PROCESSES, APPS = 4, 4
MAX_AGE, LEAD, SKEW, LIFETIME = 2, 4, 1, 40  # seconds
OFF = 30.0  # the clock of a verifier
PAUSE_SECONDS = 0.08
TIMES = {
    "WEB_CONCURRENCY": str(PROCESSES),
    "AUTH_SERVICE__JWKS_MAX_AGE": str(MAX_AGE),
    "AUTH_SERVICE__KEY_PUBLISH_LEAD": str(LEAD),
    "AUTH_SERVICE__CLOCK_SKEW": str(SKEW),
    "AUTH_SERVICE__ACCESS_TOKEN_LIFETIME": str(LIFETIME),
}
COLUMNS = "kid, extract(epoch FROM published_at), extract(epoch FROM signs_from), revoked_at IS NOT NULL, private_key <> ''"


@dataclass
class Outcome:
    """What was seen."""

    tokens: list[Token] = field(default_factory=list)
    verifiers: list[Verifier] = field(default_factory=list)
    revoked_kid: str = ""
    revoked_at: tuple[float, float] = (0.0, 0.0)  # the command began, and had ended
    answers: Counter[str] = field(default_factory=Counter)
    api_refused_after: float = 0.0
    introspection_refused_after: float = 0.0
    keys: list[Any] = field(default_factory=list)
    standbys_at_the_end: int = 0

    def refusals(self, *, of_the_revoked: bool) -> list[str]:
        """Of the revoked key's tokens, shown after it was revoked; or all others, which are failures."""
        found = []
        for verifier in self.verifiers:
            for token, at, why in verifier.refused:
                if (token.kid == self.revoked_kid and at >= self.revoked_at[0]) is of_the_revoked:
                    found.append(f"{verifier.name}: kid {token.kid[:8]}, {at - token.received_at:.2f} s old: {why}")
        return found

    def table(self) -> str:
        kids = Counter(token.kid for token in self.tokens)
        after = [token for token in self.tokens if token.received_at >= self.revoked_at[1]]
        of_the_revoked = sum(token.kid == self.revoked_kid for token in after)
        lines = [
            f"Rotation of signing keys under load: {PROCESSES} processes on PostgreSQL, every {ROTATE_EVERY:g} s",
            f"  rotations                        {ROTATIONS:>6}  and one emergency in the middle",
            f"  tokens made                      {len(self.tokens):>6}  by {len(kids)} keys",
            f"  made after the emergency         {len(after):>6}  of the key that was revoked: {of_the_revoked}",
            *(f"  shown to {v.name:<32} {v.counts['new']:>6}  and {v.counts['again']} again, when they were older" for v in self.verifiers),
            f"  refused, good all the same       {len(self.refusals(of_the_revoked=False)):>6}  must be 0",
            f"  refused, of the revoked key      {len(self.refusals(of_the_revoked=True)):>6}  after it was revoked",
            f"  our API refused them after       {self.api_refused_after:>6.2f}  s, every process of {PROCESSES}",
            f"  introspection after              {self.introspection_refused_after:>6.2f}  s",
            f"  refreshes answered otherwise     {sum(self.answers.values()) - self.answers['200']:>6}  must be 0",
        ]
        return "\n".join(lines)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, report):
    if not os.environ.get("TEST_DB_URL"):
        pytest.skip("several processes need PostgreSQL")
    with ExitStack() as running:
        patch = running.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("no_proxy", "localhost,127.0.0.1")
        server = running.enter_context(authserver(tmp_path_factory.mktemp("rotation"), **TIMES))
        folder = node.install(tmp_path_factory.mktemp("node"))
        storm = Storm(server, Gunicorn.serving(server.port))
        storm.outcome.verifiers = verifiers(f"{server.base_url}/.well-known/jwks.json", folder, running)
        outcome = storm.blow()
    report.append(outcome.table())
    return outcome


def verifiers(url, folder, running):
    jose = Node(folder, url, max_age=MAX_AGE)
    running.callback(jose.close)
    return [
        Verifier("python-jose, keeps for max-age", by_python_jose(KeptSet(url, max_age=MAX_AGE))),
        Verifier("PyJWKClient, unknown kid: again", by_pyjwt(url, max_age=MAX_AGE)),
        Verifier("joserfc, clock 30 s ahead", by_joserfc(KeptSet(url, max_age=MAX_AGE, off=OFF))),
        Verifier("joserfc, clock 30 s behind", by_joserfc(KeptSet(url, max_age=MAX_AGE, off=-OFF))),
        Verifier("jose of npm", jose.verify),
    ]


class Storm:
    """Apps refresh, verifiers verify, somebody rotates."""

    def __init__(self, server: Server, gunicorn: Gunicorn) -> None:
        self._server, self._gunicorn = server, gunicorn
        self.outcome = Outcome()

    def blow(self) -> Outcome:
        stop_making, stop_looking = threading.Event(), threading.Event()
        with httpx.Client(base_url=self._server.base_url, timeout=20) as http:
            # One after the other: who comes in a crowd is told to come back when the slots for hashes are taken.
            pairs = [sign_in(http) for _ in range(APPS)]
        with ThreadPoolExecutor(APPS + len(self.outcome.verifiers)) as threads:
            making = [threads.submit(self._refresh_until, stop_making, pair) for pair in pairs]
            looking = [threads.submit(verifier.watch, self.outcome.tokens, stop_looking) for verifier in self.outcome.verifiers]
            try:
                self._rotate_and_revoke()
            finally:
                stop_making.set()
                for future in making:
                    future.exception()
                stop_looking.set()
            for future in (*making, *looking):
                future.result()
        self.outcome.keys = self._rows()
        self.outcome.standbys_at_the_end = sum(
            signs_from is None for _, _, signs_from, is_revoked, _ in self.outcome.keys if not is_revoked
        )
        return self.outcome

    def _rotate_and_revoke(self) -> None:
        began_at = time.monotonic()
        for number in range(ROTATIONS):
            time.sleep(max(0.0, began_at + (number + 1) * ROTATE_EVERY - time.monotonic()))
            if number == ROTATIONS // 2:
                self._revoke()
            else:
                self._command("rotate_signing_key")
        time.sleep(ROTATE_EVERY)

    def _revoke(self) -> None:
        """The standby has been published for longer than verifiers keep a key set: that is what it is for."""
        self.outcome.revoked_kid = self._signing()
        value = self._token_by(self.outcome.revoked_kid)
        with httpx.Client(base_url=self._server.base_url) as http:
            began_at = time.time()
            self._command("rotate_signing_key", f"--emergency={self.outcome.revoked_kid}", "--reason", "found on a paste site")
            self.outcome.revoked_at = (began_at, time.time())
            self.outcome.api_refused_after = self._until(lambda: self._api_refuses(value))
            secret = re.search(r"shown once: (\S+)", self._server.bootstrap_output)[1]
            self.outcome.introspection_refused_after = self._until(lambda: is_inactive(http, value, secret))

    def _token_by(self, kid) -> str:
        """The newest of this key. It may have begun to sign just now, and the machine be slow."""
        give_up_at = time.monotonic() + 20
        while time.monotonic() < give_up_at:
            value = next((token.value for token in reversed(self.outcome.tokens) if token.kid == kid), None)
            if value is not None:
                return value
            time.sleep(0.05)
        raise AssertionError("the key that signs has signed nothing in 20 seconds")

    def _until(self, is_so) -> float:
        """Seconds since the command had ended, until it is so for forty connections in a row: every process was among them."""
        give_up_at, since, in_a_row = time.monotonic() + 20, self.outcome.revoked_at[1], 0
        while in_a_row < 40:
            assert time.monotonic() < give_up_at, "a token of a revoked key is still taken"
            if is_so():
                in_a_row += 1
            else:
                in_a_row, since = 0, time.time()
        return since - self.outcome.revoked_at[1]

    def _api_refuses(self, value) -> bool:
        with httpx.Client(base_url=self._server.base_url) as http:  # a new connection may meet another process
            return http.get("/api/v1/me", headers={"Authorization": f"Bearer {value}"}).status_code == 401

    def _refresh_until(self, stop, pair) -> None:
        with httpx.Client(base_url=self._server.base_url, timeout=20) as http:
            while not stop.is_set():
                self._receive(pair["access_token"])
                answer = refresh(http, pair["refresh_token"], Connection="close")
                self.outcome.answers[str(answer.status_code)] += 1
                assert answer.status_code == 200, answer.text
                pair = answer.json()
                time.sleep(PAUSE_SECONDS)

    def _receive(self, value) -> None:
        header, claims = jwt.get_unverified_header(value), jwt.decode(value, options={"verify_signature": False})
        self.outcome.tokens.append(Token(value, header["kid"], time.time(), claims["exp"]))

    def _command(self, *words) -> None:
        run([sys.executable, "manage.py", *words], cwd=ROOT, environment=self._gunicorn.environment())

    def _signing(self) -> str:
        now = datetime.now(UTC).timestamp()
        return max((row for row in self._rows() if row[2] is not None and row[2] <= now and not row[3]), key=lambda row: row[2])[0]

    def _rows(self) -> list[Any]:
        with psycopg.connect(self._gunicorn.variable("AUTH_SERVICE__DB_URL")) as connection:
            return connection.execute(f"SELECT {COLUMNS} FROM oauth_signingkey ORDER BY sequence").fetchall()


def is_inactive(http, value, secret) -> bool:
    answer = http.post("/oauth/introspect", data={"token": value}, auth=("codelab-internal", secret), headers={"Connection": "close"})
    return answer.json() == {"active": False}


# --- What must hold -----------------------------------------------------------------------------------


@pytest.mark.checklist(92)
def test_no_verifier_refuses_a_token_that_is_good(outcome: Outcome):
    assert outcome.refusals(of_the_revoked=False) == []
    assert all(verifier.counts["new"] == len(outcome.tokens) for verifier in outcome.verifiers)
    assert all(verifier.counts["again"] > 0 for verifier in outcome.verifiers)


@pytest.mark.checklist(98)
def test_every_process_signs_with_the_keys_in_their_turn(outcome: Outcome):
    signed = list(dict.fromkeys(token.kid for token in outcome.tokens))
    in_turn = [kid for kid, _, signs_from, _, _ in outcome.keys if kid in signed]

    assert len(signed) >= ROTATIONS
    assert signed == in_turn


@pytest.mark.checklist(93)
def test_the_revoked_key_signs_nothing_more_and_its_tokens_are_refused_by_every_process(outcome: Outcome):
    late = [token for token in outcome.tokens if token.kid == outcome.revoked_kid and token.received_at > outcome.revoked_at[1] + 5]

    assert outcome.revoked_kid
    assert late == []
    [row] = [row for row in outcome.keys if row[0] == outcome.revoked_kid]
    assert row[3:] == (True, False), "revoked, and its private key erased"


@pytest.mark.checklist(90)
def test_every_key_was_published_for_the_lead_before_it_signed(outcome: Outcome):
    first, *others = outcome.keys
    successor = others[[row[0] for row in others].index(outcome.revoked_kid) + 1] if outcome.revoked_kid != first[0] else others[0]
    rotated = [row for row in others if row[2] is not None and row is not successor]

    assert rotated
    assert all(signs_from - published_at >= LEAD for _, published_at, signs_from, _, _ in rotated)
    assert successor[2] - successor[1] > MAX_AGE, "the emergency came after verifiers knew the standby"


@pytest.mark.checklist(97)
def test_one_standby_waits_at_the_end_and_no_refresh_failed(outcome: Outcome):
    assert outcome.standbys_at_the_end == 1
    assert set(outcome.answers) == {"200"}
