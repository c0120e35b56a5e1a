"""Ceilings over real HTTP: what the processes of one server count together, by which address, and what each refusal says."""

import re
import secrets
import time
from collections import Counter

import httpx
import pytest

from tests.e2e.calls import SIGN_IN_FORM, refresh, sign_in
from tests.e2e.windows import DAY, new_address, new_ipv6_prefix, wait_for_a_long_hour
from tests.e2e.wire import burst, form_request
from tests.redis import redis_server

METRICS_TOKEN = "a-token-for-the-metrics-of-these-tests"
PATIENCE_SECONDS = 240  # they take ten seconds where nothing else runs
BEHIND_A_PROXY = {"AUTH_SERVICE__TRUSTED_PROXIES": "127.0.0.1/32"}


@pytest.fixture(scope="module")
def redis():
    with redis_server(password="the-password-of-redis") as server:
        yield server


@pytest.fixture(scope="module")
def limited_server(start_server, redis):
    """Four processes behind a proxy that says where requests come from, and a Redis."""
    return start_server(**BEHIND_A_PROXY, AUTH_SERVICE__REDIS_URL=redis.url, WEB_CONCURRENCY="4")


@pytest.fixture(scope="module")
def strict_server(start_server, redis):
    """Of each address three requests a day, and its failures are no matter."""
    rates = {"AUTH_SERVICE__RATE_LIMIT_PER_IP": "3/d", "AUTH_SERVICE__RATE_LIMIT_FAILURES_PER_IP": "99/m"}
    return start_server(**BEHIND_A_PROXY, **rates, AUTH_SERVICE__REDIS_URL=redis.url, AUTH_SERVICE__METRICS_TOKEN=METRICS_TOKEN)


@pytest.fixture
def limited(limited_server):
    with httpx.Client(base_url=limited_server.base_url, timeout=20) as client:
        yield client


@pytest.fixture
def address():
    return new_address()


def guess(**fields):
    return SIGN_IN_FORM | {"username": f"somebody-{secrets.token_hex(6)}", "password": "Winter2026!"} | fields


def post(http, form, *, address):
    return http.post("/oauth/token", data=form, headers={"X-Forwarded-For": address})


def outcomes(answers):
    return Counter(answer.json().get("error", "ok") for answer in answers)


@pytest.mark.checklist(47)
def test_a_sprayer_is_stopped_by_all_processes_after_the_twentieth_failure(limited_server, limited, address):
    answers = []
    for _ in range(100):
        with httpx.Client(base_url=limited_server.base_url) as each:  # another connection, and so another process
            answers.append(post(each, guess(), address=address))

    assert outcomes(answers) == {"invalid_grant": 20, "rate_limit_exceeded": 80}
    assert [answer.status_code for answer in answers] == [400] * 20 + [429] * 80
    assert all(1 <= int(answer.headers["Retry-After"]) == answer.json()["retry_after"] <= 300 for answer in answers[20:])
    assert post(limited, SIGN_IN_FORM, address="198.51.100.7").status_code == 200


def test_guesses_in_parallel_go_beyond_the_ceiling_by_no_more_than_can_run_at_once(limited_server, limited, address):
    answers = burst(limited_server.port, [form_request(guess(), X_Forwarded_For=address) for _ in range(100)])

    counted = outcomes(answers)
    assert counted.keys() <= {"invalid_grant", "rate_limit_exceeded", "temporarily_unavailable"}
    assert counted["invalid_grant"] <= 20 + 4 * 4
    for _ in range(20):
        last = post(limited, guess(), address=address)
    assert last.status_code == 429


@pytest.mark.checklist(48)
def test_300_good_sign_ins_from_one_address_pass(limited_server, limited, address):
    request = form_request(SIGN_IN_FORM, X_Forwarded_For=address)
    counted = Counter()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while counted["ok"] < 300:
        counted += outcomes(burst(limited_server.port, [request] * 4))
        assert time.monotonic() < give_up_at, counted

    assert counted.keys() <= {"ok", "temporarily_unavailable"}
    assert post(limited, guess(), address=address).json()["error"] == "invalid_grant"


@pytest.mark.checklist(45)
def test_what_a_client_says_of_its_address_behind_the_proxy_changes_nothing(limited, address):
    answers = [post(limited, guess(), address=f"203.0.113.{number}, {address}") for number in range(30)]

    assert outcomes(answers) == {"invalid_grant": 20, "rate_limit_exceeded": 10}


@pytest.mark.checklist(46)
def test_fifty_addresses_of_a_64_are_one(limited):
    prefix = new_ipv6_prefix()

    answers = [post(limited, guess(), address=f"{prefix}::{number:x}") for number in range(50)]

    assert outcomes(answers) == {"invalid_grant": 20, "rate_limit_exceeded": 30}


@pytest.mark.checklist(33)
def test_wrong_secrets_are_refused_and_the_right_one_is_taken(limited_server, limited, address):
    [secret] = re.findall(r"shown once: (\S+)", limited_server.bootstrap_output)
    form = {"grant_type": "client_credentials", "client_id": "codelab-internal"}

    answers = [post(limited, form | {"client_secret": f"wrong-{number}"}, address=address) for number in range(200)]

    assert outcomes(answers) == {"invalid_client": 20, "rate_limit_exceeded": 180}
    assert post(limited, form | {"client_secret": secret}, address="198.51.100.8").status_code == 200


def test_who_used_up_an_address_signs_in_to_the_admin_as_little_as_to_an_app(limited_server, limited, address):
    for _ in range(20):
        post(limited, guess(), address=address)

    with httpx.Client(base_url=limited_server.base_url, headers={"X-Forwarded-For": address}, timeout=20) as browser:
        page = browser.get("/sign-in")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
        form = {"csrfmiddlewaretoken": token, "login": "user@example.com", "password": "password123"}
        answer = browser.post("/sign-in", data=form, headers={"Referer": limited_server.base_url})

    assert "Too many failed attempts from your network. Try again later." in answer.text


def test_a_refresh_with_a_token_of_ours_is_answered_where_nothing_else_is(strict_server):
    headers = {"X-Forwarded-For": new_address(within=DAY)}
    with httpx.Client(base_url=strict_server.base_url, headers=headers, timeout=20) as http:
        value = sign_in(http)["refresh_token"]
        garbage = [refresh(http, "garbage").status_code for _ in range(3)]

        assert garbage == [400, 400, 429]
        assert http.post("/oauth/token", data=SIGN_IN_FORM).status_code == 429
        for _ in range(20):
            answer = refresh(http, value)
            assert answer.status_code == 200
            value = answer.json()["refresh_token"]


@pytest.mark.checklist(49)
def test_spraying_is_counted_once_by_all_processes(strict_server, redis):
    wait_for_a_long_hour()
    redis.flush()
    for number in range(60):
        with httpx.Client(base_url=strict_server.base_url) as each:
            post(each, guess(), address=f"203.0.113.{number}")

    metrics = httpx.get(f"{strict_server.base_url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text

    assert "auth_password_spraying_detected_total 1.0" in metrics
    assert 'auth_store_up{store="redis"} 1.0' in metrics
    assert strict_server.output().count("passwords are being sprayed") == 1


def test_the_password_of_redis_is_in_no_line_of_the_log(limited_server):
    assert "the-password-of-redis" not in limited_server.output()


def test_an_url_of_redis_that_nobody_understands_stops_the_start(start_server):
    with pytest.raises(AssertionError, match="AUTH_SERVICE__REDIS_URL must look like") as refused:
        start_server(AUTH_SERVICE__REDIS_URL="redis://:a-password@localhost:port/0")

    assert "a-password" not in str(refused.value)
    assert "Traceback" not in str(refused.value)
