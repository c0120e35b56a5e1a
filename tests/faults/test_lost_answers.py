"""A refresh is done and its answer never arrives: what the client has then, and what sending it again gives."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e.calls import refresh, refresh_form, sign_in, verified_claims
from tests.e2e.wire import Wire, form_request

ROUNDS = 50
KEY = "the-refresh-whose-answer-is-lost"
RETRIED = "session:refresh:retried"


@dataclass(frozen=True)
class Lost:
    """A refresh token that was sent, and the session it is of."""

    refresh_token: str
    sid: str


@pytest.fixture
def lose_a_worker(server, gunicorn, database, http) -> Callable[..., Lost]:
    """A refresh of a new session waits for its row; the workers die; the row is let go. PostgreSQL finishes what it has begun."""

    def lose(**headers: str) -> Lost:
        while True:
            tokens = sign_in(http)
            (claims,) = verified_claims(http, [tokens["access_token"]])
            with Wire(server.port) as wire:
                with database.holding(claims["sid"]):
                    wire.send(form_request(refresh_form(tokens["refresh_token"]), **headers))
                    database.wait_for_waiters()
                    for worker in gunicorn.workers():
                        gunicorn.kill(worker)
                database.wait_until_idle()
                is_answered = wire.read() is not None
            # On a slow day the wait for the lock times out before the worker is dead: once more, then.
            if not is_answered and database.generation(claims["sid"]) == database.is_postgresql:
                return Lost(tokens["refresh_token"], claims["sid"])

    return lose


@pytest.mark.checklist(61)
def test_the_key_gives_what_a_killed_worker_committed(http, database, lose_a_worker):
    lost = lose_a_worker(Idempotency_Key=KEY)

    answers = [refresh(http, lost.refresh_token, Idempotency_Key=KEY) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    assert {claims["sid"] for claims in verified_claims(http, [answer.json()["access_token"] for answer in answers])} == {lost.sid}
    assert database.generation(lost.sid) == 1
    assert refresh(http, successor).status_code == 200


def test_without_a_key_what_a_killed_worker_committed_costs_a_sign_in(http, database, lose_a_worker):
    lost = lose_a_worker()

    answer = refresh(http, lost.refresh_token)

    # SQLite has no server that would finish the statement of a process that is dead.
    assert answer.status_code == (400 if database.is_postgresql else 200), answer.text
    assert refresh(http, sign_in(http)["refresh_token"]).status_code == 200


@pytest.mark.checklist(61)
def test_a_client_that_hangs_up_on_every_answer_and_repeats_with_the_key_refreshes_for_ever(server, http, database):
    tokens = sign_in(http)
    (claims,) = verified_claims(http, [tokens["access_token"]])
    token = tokens["refresh_token"]

    for number in range(ROUNDS):
        key = f"refresh-number-{number:04}"
        with Wire(server.port) as wire:
            wire.send(form_request(refresh_form(token), Idempotency_Key=key))
            time.sleep(number % 10 / 1000)
        repeated = refresh(http, token, Idempotency_Key=key)
        assert repeated.status_code == 200, f"{repeated.text}: {database.story_of(claims['sid'])}"
        # A request that a slow worker still holds when the client has refreshed once more is of a token two generations old:
        # reuse, with its key or without, for the immediate predecessor alone is forgiven. So the one that was given up is let arrive first.
        database.wait_for_events(RETRIED, target=claims["sid"], count=number + 1)
        token = repeated.json()["refresh_token"]

    assert database.generation(claims["sid"]) == ROUNDS
    assert database.count("session:refresh_token:reused", target=claims["sid"]) == 0
    assert refresh(http, token).status_code == 200
