"""Parallel refreshes of one token never yield two different refresh tokens."""

import os

import pytest

from tests.e2e.calls import refresh, refresh_form, sessions, sign_in, verified_claims
from tests.e2e.wire import Wire, burst, form_request

ROUNDS = range(5)
PARALLEL = 60


def test_these_tests_run_on_the_database_that_they_are_started_for(server):
    is_sqlite = (server.folder / "auth.db").exists()

    assert is_sqlite is not bool(os.environ.get("TEST_DB_URL"))


@pytest.mark.checklist(59, 60)
@pytest.mark.spec("RFC 9700", "4.14.2", "reuse revokes the active refresh token")
@pytest.mark.parametrize("parallel", [2, 5, 20, PARALLEL])
def test_of_parallel_refreshes_one_is_answered_and_the_session_ends(server, http, parallel):
    for _ in ROUNDS:
        token = sign_in(http)["refresh_token"]

        answers = burst(server.port, [form_request(refresh_form(token))] * parallel)

        won = [answer.json() for answer in answers if answer.status == 200]
        lost = {(answer.status, answer.json()["error"]) for answer in answers if answer.status != 200}
        assert len(won) == 1
        assert lost == {(400, "invalid_grant")}
        assert refresh(http, won[0]["refresh_token"]).json()["error"] == "invalid_grant"
        assert sessions(http, won[0]["access_token"]).status_code == 401


@pytest.mark.checklist(60, 61)
def test_twenty_parallel_repetitions_of_one_refresh_get_one_refresh_token(server, http):
    for number in ROUNDS:
        token = sign_in(http)["refresh_token"]
        request = form_request(refresh_form(token), Idempotency_Key=f"refresh-of-alice-{number}")

        answers = burst(server.port, [request] * 20)

        assert {answer.status for answer in answers} == {200}
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1
        access_tokens = [answer.json()["access_token"] for answer in answers]
        assert len({claims["jti"] for claims in verified_claims(http, access_tokens)}) == 20
        assert refresh(http, answers[0].json()["refresh_token"]).status_code == 200


@pytest.mark.checklist(61)
def test_a_refresh_whose_answer_was_lost_is_repeated_with_its_key(server, http):
    for number in ROUNDS:
        token = sign_in(http)["refresh_token"]
        key = f"refresh-of-alice-{number}"
        with Wire(server.port) as lost:
            lost.send(form_request(refresh_form(token), Idempotency_Key=key))

        repeated = refresh(http, token, Idempotency_Key=key)

        assert repeated.status_code == 200
        assert refresh(http, repeated.json()["refresh_token"]).status_code == 200


@pytest.mark.checklist(61)
def test_mallory_with_another_key_never_gets_a_second_refresh_token(server, http):
    for number in ROUNDS:
        token = sign_in(http)["refresh_token"]
        alices = form_request(refresh_form(token), Idempotency_Key=f"refresh-of-alice-{number}")
        mallorys = form_request(refresh_form(token), Idempotency_Key=f"refresh-of-mallory-{number}")

        answers = burst(server.port, [alices, mallorys] * 15)

        given = {answer.json()["refresh_token"] for answer in answers if answer.status == 200}
        refused = {(answer.status, answer.json()["error"]) for answer in answers if answer.status != 200}
        assert len(given) == 1
        assert refused == {(400, "invalid_grant")}
        assert refresh(http, given.pop()).json()["error"] == "invalid_grant"


@pytest.mark.checklist(60)
def test_with_the_overlap_sixty_parallel_refreshes_get_one_refresh_token_and_the_session_lives(forgiving_server, forgiving_http):
    token = sign_in(forgiving_http)["refresh_token"]

    for _ in ROUNDS:
        answers = burst(forgiving_server.port, [form_request(refresh_form(token))] * PARALLEL)

        assert {answer.status for answer in answers} == {200}
        successors = {answer.json()["refresh_token"] for answer in answers}
        assert len(successors) == 1
        assert token not in successors
        access_tokens = [answer.json()["access_token"] for answer in answers]
        assert len({claims["jti"] for claims in verified_claims(forgiving_http, access_tokens)}) == PARALLEL
        assert {sessions(forgiving_http, access_token).status_code for access_token in access_tokens} == {200}
        token = successors.pop()

    assert refresh(forgiving_http, token).status_code == 200


@pytest.mark.checklist(62)
def test_the_overlap_forgives_one_generation_and_no_more(forgiving_http):
    first = sign_in(forgiving_http)["refresh_token"]
    second = refresh(forgiving_http, first).json()["refresh_token"]
    third = refresh(forgiving_http, second).json()["refresh_token"]

    too_old = refresh(forgiving_http, first)

    assert (too_old.status_code, too_old.json()["error"]) == (400, "invalid_grant")
    assert refresh(forgiving_http, third).json()["error"] == "invalid_grant"


def test_from_another_network_the_overlap_is_reuse(forgiving_server, forgiving_http):
    token = sign_in(forgiving_http)["refresh_token"]
    alices = form_request(refresh_form(token), X_Forwarded_For="198.51.100.7")
    mallorys = form_request(refresh_form(token), X_Forwarded_For="203.0.113.9")

    answers = burst(forgiving_server.port, [alices, mallorys] * 10)

    given = {answer.json()["refresh_token"] for answer in answers if answer.status == 200}
    refused = {(answer.status, answer.json()["error"]) for answer in answers if answer.status != 200}
    assert len(given) == 1
    assert refused == {(400, "invalid_grant")}
    assert refresh(forgiving_http, given.pop()).json()["error"] == "invalid_grant"
