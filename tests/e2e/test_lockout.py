"""Guessing passwords at a server of four processes: in parallel, through every door, from forged addresses."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.calls import SIGN_IN_FORM, refresh
from tests.e2e.windows import new_address
from tests.e2e.wire import burst, form_request
from tests.faults.processes import Gunicorn

WRONG = SIGN_IN_FORM | {"password": "not this one"}


@pytest.fixture(scope="module")
def guarded_server(start_server):
    """Behind a proxy that says where requests come from."""
    return start_server(AUTH_SERVICE__TRUSTED_PROXIES="127.0.0.1/32", WEB_CONCURRENCY="4")


@pytest.fixture
def guarded(guarded_server):
    with httpx.Client(base_url=guarded_server.base_url, timeout=20) as client:
        yield client


@pytest.fixture
def address():
    """Of each test its own: what one does to a source is nothing to the next."""
    return new_address()


def post(http, form, *, address):
    return http.post("/oauth/token", data=form, headers={"X-Forwarded-For": address})


def outcomes(answers):
    return Counter(answer.json().get("error", "ok") for answer in answers)


@pytest.mark.checklist(40)
@pytest.mark.parametrize("username", ["test@example.com", "nobody@example.com"])
def test_of_a_hundred_parallel_guesses_five_are_verified(guarded_server, address, username):
    requests = [form_request(WRONG | {"username": username}, X_Forwarded_For=address)] * 100

    # Some are told to come back because too many are hashed at once: so again, until the name is locked.
    answers = burst(guarded_server.port, requests)
    while "account_locked" not in outcomes(answers):
        answers += burst(guarded_server.port, requests[:20])
    answers += burst(guarded_server.port, requests[:20])

    counted = outcomes(answers)
    assert counted["invalid_grant"] == 5
    assert counted.keys() <= {"invalid_grant", "account_locked", "temporarily_unavailable"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status != 400)


@pytest.mark.checklist(41)
def test_the_right_guess_behind_five_wrong_ones_gets_nothing(guarded_server, guarded, address):
    first = [post(guarded, WRONG, address=address) for _ in range(5)]

    answers = burst(guarded_server.port, [form_request(SIGN_IN_FORM, X_Forwarded_For=address)] * 20)

    assert outcomes(first) == {"invalid_grant": 5}
    assert outcomes(answers).keys() <= {"account_locked", "temporarily_unavailable"}
    answer = post(guarded, SIGN_IN_FORM, address=address)
    locked = answer.json()
    assert (answer.status_code, locked["error"]) == (403, "account_locked")
    assert 800 <= locked["retry_after"] <= 900
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", locked["locked_until"])
    assert answer.headers["Retry-After"] == str(locked["retry_after"])


def test_five_honest_parallel_sign_ins_lock_nobody(guarded_server, guarded, address):
    answers = burst(guarded_server.port, [form_request(SIGN_IN_FORM, X_Forwarded_For=address)] * 5)

    assert outcomes(answers).keys() <= {"ok", "temporarily_unavailable"}
    assert post(guarded, SIGN_IN_FORM, address=address).status_code == 200


@pytest.mark.checklist(50, 70)
def test_a_lock_reaches_neither_the_owners_refresh_nor_their_own_network(guarded_server, guarded, address):
    home = "198.51.100.77"
    tokens = post(guarded, SIGN_IN_FORM, address=home).json()
    for _ in range(6):
        last = post(guarded, WRONG, address=address)

    refreshed = refresh(guarded, tokens["refresh_token"])

    assert last.json()["error"] == "account_locked"
    assert refreshed.status_code == 200
    assert post(guarded, SIGN_IN_FORM, address=home).status_code == 200


@pytest.mark.checklist(51)
def test_the_admins_door_and_the_token_endpoint_count_as_one(guarded_server, guarded, address):
    headers = {"X-Forwarded-For": address}
    with httpx.Client(base_url=guarded_server.base_url, headers=headers, timeout=20) as browser:
        page = browser.get("/sign-in")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
        form = {"csrfmiddlewaretoken": token, "login": "user@example.com", "password": "wrong"}
        for _ in range(3):
            assert browser.post("/sign-in", data=form, headers={"Referer": guarded_server.base_url}).status_code == 200
    for _ in range(2):
        assert post(guarded, WRONG, address=address).json()["error"] == "invalid_grant"

    assert post(guarded, SIGN_IN_FORM, address=address).json()["error"] == "account_locked"


@pytest.mark.checklist(53)
def test_the_count_survives_the_death_of_every_process(guarded_server, guarded, address):
    gunicorn = Gunicorn.serving(guarded_server.port)
    for _ in range(3):
        post(guarded, WRONG, address=address)
    before = set(gunicorn.workers())
    for worker in before:
        gunicorn.kill(worker)
    while len(set(gunicorn.workers()) - before) < len(before):
        time.sleep(0.05)
    guarded.close()

    with httpx.Client(base_url=guarded_server.base_url, timeout=20) as http:
        errors = [post(http, WRONG, address=address).json()["error"] for _ in range(3)]

    assert errors == ["invalid_grant", "invalid_grant", "account_locked"]


@pytest.mark.checklist(45)
def test_an_address_that_the_client_wrote_itself_changes_nothing(guarded_server, address):
    with httpx.Client(base_url=guarded_server.base_url, timeout=20) as http:
        errors = [post(http, WRONG, address=f"203.0.113.{number}, {address}").json()["error"] for number in range(6)]

    assert errors == ["invalid_grant"] * 5 + ["account_locked"]


def test_a_flood_of_guesses_is_told_to_come_back_and_refreshes_are_answered(guarded_server, guarded, address):
    token = post(guarded, SIGN_IN_FORM, address="198.51.100.78").json()["refresh_token"]
    guesses = [
        form_request(WRONG | {"username": f"nobody{number}@example.com"}, X_Forwarded_For=f"203.0.113.{number}") for number in range(120)
    ]
    with ThreadPoolExecutor(1) as flood:
        answers = flood.submit(burst, guarded_server.port, guesses)
        refreshed = []
        while not answers.done():
            refreshed.append(refresh(guarded, token))
            token = refreshed[-1].json()["refresh_token"]

    counted = outcomes(answers.result())
    assert {answer.status_code for answer in refreshed} == {200}
    assert counted.keys() == {"invalid_grant", "temporarily_unavailable"}
    assert all(answer.headers["Retry-After"] in {"1", "2", "3"} for answer in answers.result() if answer.status == 503)
