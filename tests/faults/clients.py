"""Apps that refresh one token after the other: with an Idempotency-Key as the documentation asks, or without as the guide prints."""

import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from json import loads
from typing import Any
from urllib.parse import urlencode

from tests.e2e.calls import CLIENT_ID, SIGN_IN_FORM, refresh_form
from tests.faults.oracle import Notebook, Pair

TIMEOUT_SECONDS = 10
PATIENCE_SECONDS = 50  # within the 60 s in which a key is honoured
RECONNECT_EVERY = 25  # refreshes, on the average: the connections spread over the workers again
REPEAT_EVERY = 20  # refreshes, on the average

_chance = secrets.SystemRandom()


@dataclass(frozen=True, repr=False)
class Answer:
    status: int
    retry_after: int
    body: dict[str, Any]


class App:
    """One installation of an app, with one session at a time."""

    def __init__(self, *, port: int, notebook: Notebook, sends_keys: bool) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self.notebook = notebook
        self.sends_keys = sends_keys
        self.tally: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._attempts: list[str] = []
        self._chain = 0
        self._refresh_token = ""

    def sign_in(self) -> None:
        answer = self._ask(SIGN_IN_FORM)
        if answer.status != 200:
            raise AssertionError(self._story(f"the sign-in was refused: {answer.body}"))
        self._chain += 1
        self._receive(answer, spent="")

    def refresh_until(self, stop: threading.Event, *, pause: float = 0.0) -> None:
        while not stop.wait(_chance.uniform(0, 2 * pause)):
            self.refresh()
            if _chance.random() < 1 / RECONNECT_EVERY:
                self._connection.close()

    def refresh(self) -> bool:
        """Refresh once; whoever is logged out signs in again. True when it was not necessary."""
        spent = self._refresh_token
        headers = {"Idempotency-Key": secrets.token_urlsafe(16)} if self.sends_keys else {}
        answer = self._ask(refresh_form(spent), headers)
        if answer.status != 200:
            self._note_refusal(answer)
            self.sign_in()
            return False
        self._receive(answer, spent=spent)
        self.tally["refreshes"] += 1
        if self.sends_keys and _chance.random() < 1 / REPEAT_EVERY:
            self._repeat(spent, headers)
        return True

    def close(self) -> None:
        self._connection.close()

    def _repeat(self, spent: str, headers: dict[str, str]) -> None:
        """As if the answer had been lost after it was read: the oracle compares what comes now with what came before."""
        answer = self._ask(refresh_form(spent), headers)
        if answer.status != 200:
            self._note_refusal(answer)
            self.sign_in()
            return
        self._receive(answer, spent=spent)
        self.tally["repeated"] += 1

    def _receive(self, answer: Answer, *, spent: str) -> None:
        pair = Pair(self._chain, spent, answer.body["access_token"], answer.body["refresh_token"])
        self.notebook.write(pair)
        self.tally["pairs"] += 1
        self._refresh_token = pair.refresh_token

    def _note_refusal(self, answer: Answer) -> None:
        is_logout = answer.status == 400 and answer.body.get("error") == "invalid_grant"
        self.tally["logged out" if is_logout else "unexpected"] += 1
        if self.sends_keys or not is_logout:
            self.complaints.append(self._story(f"{answer.status} {answer.body}"))

    def _ask(self, form: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        """The first answer that is a token or a refusal; the same request is sent again after a broken connection and a 5xx."""
        began_at = time.monotonic()
        self._attempts = []
        while True:
            answer = self._post(form, headers or {})
            if answer is not None and answer.status < 500:
                self._attempt(began_at, str(answer.status))
                return answer
            if time.monotonic() - began_at > PATIENCE_SECONDS:
                raise AssertionError(self._story("no answer for too long"))
            self.tally["retries"] += 1
            if answer is None:
                time.sleep(_chance.uniform(0.005, 0.05))
                continue
            self._attempt(began_at, f"{answer.status} {answer.body}")
            self.tally["503" if answer.status == 503 else "other 5xx"] += 1
            self.tally["503 without Retry-After"] += answer.status == 503 and not answer.retry_after
            time.sleep(answer.retry_after)

    def _post(self, form: dict[str, str], headers: dict[str, str]) -> Answer | None:
        """None when the connection broke before the whole answer had come."""
        began_at = time.monotonic()
        headers = headers | {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            self._connection.request("POST", "/oauth/token", urlencode(form), headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            self._attempt(began_at, type(error).__name__)
            return None
        return Answer(response.status, int(response.headers.get("Retry-After", 0)), loads(body))

    def _attempt(self, began_at: float, outcome: str) -> None:
        self._attempts.append(f"{outcome} after {time.monotonic() - began_at:.3f} s")

    def _story(self, what: str) -> str:
        kind = "with a key" if self.sends_keys else "without a key"
        return (
            f"{CLIENT_ID} {kind}, session {self._chain}, refresh {self.tally['refreshes']}: {what}; attempts: {', '.join(self._attempts)}"
        )
