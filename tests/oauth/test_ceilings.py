"""What an address is refused at the endpoints once it has sent or failed too much, and what it is not refused."""

import secrets
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from accounts import refusals
from accounts.models import AuditEvent, LoginCounter, Refusal
from authserver.env import Rate
from tests.oauth.test_clients import basic

ELSEWHERE = {"REMOTE_ADDR": "198.51.100.7"}
FIVE_MINUTES = timedelta(minutes=5)


def outcomes(answers):
    return [answer.error or "ok" for answer in answers]


def spray(sign_in, count, **headers):
    """One guess at each of so many names."""
    return [sign_in(f"somebody-{secrets.token_hex(4)}", "Winter2026!", **headers) for _ in range(count)]


@pytest.fixture(autouse=True)
def _every_refusal_is_stored(monkeypatch):
    monkeypatch.setattr(refusals, "BURST", 1000.0)
    monkeypatch.setattr(refusals, "allowance", refusals.Allowance())


@pytest.fixture
def used_up(sign_in):
    """The address of the tests has no failure left."""
    assert outcomes(spray(sign_in, 20)) == ["invalid_grant"] * 20


@pytest.fixture
def one_request(settings):
    """Of each address a minute."""
    settings.RATE_LIMIT_PER_IP = Rate(1, timedelta(minutes=1))


# --- Failed passwords ----------------------------------------------------------------------------


@pytest.mark.checklist(47)
def test_one_guess_at_each_of_200_names_ends_after_twenty(sign_in):
    answers = spray(sign_in, 200)

    assert outcomes(answers) == ["invalid_grant"] * 20 + ["rate_limit_exceeded"] * 180
    assert {answer.status for answer in answers[20:]} == {429}
    assert LoginCounter.objects.exclude(source="*").count() == 20
    assert sign_in(**ELSEWHERE).status == 200


@pytest.mark.checklist(111)
@pytest.mark.usefixtures("used_up")
def test_the_answer_says_when_to_come_again(sign_in):
    answer = sign_in()

    assert (answer.status, answer.error) == (429, "rate_limit_exceeded")
    assert answer.response["Retry-After"] == str(answer.body["retry_after"])
    assert 1 <= answer.body["retry_after"] <= 300
    assert answer.response["Cache-Control"] == "no-store"
    assert answer.body.keys() == {"error", "error_description", "error_id", "retry_after"}


@pytest.mark.usefixtures("used_up")
def test_the_answer_is_the_same_for_a_name_that_exists_and_nothing_is_asked_about_it(sign_in, count_statements):
    sign_in()  # the client is remembered
    with count_statements() as statements:
        answers = [sign_in(), sign_in(password="wrong"), sign_in("nobody", "wrong")]

    bodies = [{name: value for name, value in answer.body.items() if name not in {"error_id", "retry_after"}} for answer in answers]
    assert bodies == [bodies[0]] * 3
    assert {tuple(sorted(answer.response.headers)) for answer in answers} == {tuple(sorted(answers[0].response.headers))}
    asked = [query["sql"] for query in statements.captured_queries if "accounts_user" in query["sql"] or "logincounter" in query["sql"]]
    assert asked == []


@pytest.mark.usefixtures("used_up")
def test_the_refusal_is_on_record(sign_in, alice):
    answer = sign_in()

    refusal = Refusal.objects.get(pk=answer.body["error_id"])
    assert (refusal.status, refusal.error, refusal.reason, refusal.client_id) == (
        429,
        "rate_limit_exceeded",
        "ceiling: failed_passwords",
        "editor",
    )
    assert refusal.user_id is None
    assert AuditEvent.objects.filter(event="user:sign_in:failed", target=str(alice.pk)).count() == 0


@pytest.mark.checklist(48)
def test_300_good_sign_ins_from_one_address_pass(sign_in):
    assert {sign_in().status for _ in range(300)} == {200}
    assert outcomes(spray(sign_in, 21)) == ["invalid_grant"] * 20 + ["rate_limit_exceeded"]


def test_the_answers_of_a_lock_count_for_nothing(sign_in, alice):
    answers = [sign_in(password="wrong") for _ in range(40)]

    assert outcomes(answers) == ["invalid_grant"] * 5 + ["account_locked"] * 35
    assert outcomes(spray(sign_in, 16)) == ["invalid_grant"] * 15 + ["rate_limit_exceeded"]


def test_a_password_too_long_to_be_hashed_counts(sign_in):
    for _ in range(20):
        assert sign_in(password="x" * 2000).error == "invalid_grant"

    assert sign_in().error == "rate_limit_exceeded"


@pytest.mark.checklist(45)
@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_CLIENT_IP"])
def test_an_address_that_the_client_makes_up_is_no_other_address(sign_in, header):
    answers = [spray(sign_in, 1, **{header: f"203.0.113.{number}"})[0] for number in range(30)]

    assert outcomes(answers) == ["invalid_grant"] * 20 + ["rate_limit_exceeded"] * 10


@pytest.mark.checklist(46)
def test_fifty_addresses_of_a_64_are_one(sign_in):
    answers = [spray(sign_in, 1, REMOTE_ADDR=f"2001:db8:0:1::{number:x}")[0] for number in range(50)]

    assert outcomes(answers) == ["invalid_grant"] * 20 + ["rate_limit_exceeded"] * 30
    assert sign_in(REMOTE_ADDR="2001:db8:0:2::1").status == 200


@pytest.mark.usefixtures("used_up")
def test_a_refresh_and_a_clients_own_token_need_no_password_and_are_given(signed_in_elsewhere, refresh, post, robot):
    assert refresh(signed_in_elsewhere.body["refresh_token"]).status == 200
    assert post({"grant_type": "client_credentials"}, HTTP_AUTHORIZATION=basic("robot", robot.secret_value)).status == 200


@pytest.fixture
def signed_in_elsewhere(sign_in):
    return sign_in(**ELSEWHERE)


@pytest.mark.usefixtures("used_up")
def test_ceilings_that_are_off_refuse_nothing_and_locks_stay(sign_in, alice, settings):
    settings.ENABLE_RATE_LIMITING = False

    assert outcomes([sign_in(password="wrong") for _ in range(6)]) == ["invalid_grant"] * 5 + ["account_locked"]


# --- All requests --------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_request")
def test_requests_of_every_grant_count_together(sign_in, post, robot):
    first = sign_in()

    second = sign_in()
    third = post({"grant_type": "client_credentials"}, HTTP_AUTHORIZATION=basic("robot", robot.secret_value))
    fourth = post({"grant_type": "no grant of ours", "client_id": "editor"})

    assert outcomes([first, second, third, fourth]) == ["ok"] + ["rate_limit_exceeded"] * 3
    assert 1 <= second.body["retry_after"] <= 60
    assert Refusal.objects.get(pk=second.body["error_id"]).reason == "ceiling: requests"
    assert sign_in(**ELSEWHERE).status == 200


@pytest.mark.usefixtures("one_request")
def test_a_refresh_with_a_token_of_ours_is_never_too_much(signed_in, refresh):
    value = signed_in.body["refresh_token"]

    for _ in range(10):
        answer = refresh(value)
        assert answer.status == 200
        value = answer.body["refresh_token"]


@pytest.mark.usefixtures("one_request")
@pytest.mark.parametrize(
    "broken",
    [
        lambda value: "garbage",
        lambda value: value[:-1] + ("A" if value[-1] != "A" else "B"),
        lambda value: value + "A",
        lambda value: value.swapcase(),
    ],
)
def test_what_only_looks_like_a_refresh_token_counts(signed_in, refresh, broken):
    assert refresh(broken(signed_in.body["refresh_token"])).error == "rate_limit_exceeded"
    assert refresh(signed_in.body["refresh_token"]).status == 200


@pytest.mark.usefixtures("one_request")
def test_another_grant_with_a_refresh_token_beside_it_counts(signed_in, sign_in):
    assert sign_in(refresh_token=signed_in.body["refresh_token"]).error == "rate_limit_exceeded"


@pytest.mark.usefixtures("one_request")
def test_what_cannot_be_read_is_refused_before_it_is_counted(sign_in, post):
    for _ in range(5):
        assert post(b"grant_type=%zz").error == "invalid_request"

    assert sign_in().status == 200


# --- Clients that fail to authenticate -----------------------------------------------------------


@pytest.fixture
def as_robot(post, robot):
    def send(secret=robot.secret_value, *, path="/oauth/token", **headers):
        form = {"grant_type": "client_credentials"} if path == "/oauth/token" else {"token": "whatever"}
        return post(form, path=path, HTTP_AUTHORIZATION=basic("robot", secret), **headers)

    return send


@pytest.mark.checklist(33)
def test_of_200_wrong_secrets_twenty_are_looked_at_and_the_right_one_always(as_robot):
    answers = [as_robot(f"wrong-{number}") for number in range(200)]

    assert outcomes(answers) == ["invalid_client"] * 20 + ["rate_limit_exceeded"] * 180
    assert "WWW-Authenticate" in answers[0].response.headers
    assert 1 <= int(answers[20].response["Retry-After"]) == answers[20].body["retry_after"] <= 300
    assert as_robot().status == 200
    assert as_robot(**ELSEWHERE).status == 200


@pytest.mark.checklist(33)
def test_clients_and_users_fail_apart(as_robot, sign_in):
    for _ in range(30):
        as_robot("wrong")
    assert as_robot("wrong").error == "rate_limit_exceeded"

    assert outcomes(spray(sign_in, 21)) == ["invalid_grant"] * 20 + ["rate_limit_exceeded"]


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/introspect", "/oauth/revoke"])
def test_failures_at_every_endpoint_of_clients_count_together(as_robot, path):
    for number in range(20):
        assert as_robot("wrong", path=["/oauth/introspect", "/oauth/revoke", "/oauth/token"][number % 3]).error == "invalid_client"

    assert as_robot("wrong", path=path).error == "rate_limit_exceeded"
    assert as_robot("wrong", path=path, **ELSEWHERE).error == "invalid_client"


def test_a_client_that_does_not_exist_counts_like_one_with_a_wrong_secret(post, as_robot):
    for number in range(20):
        assert post({"grant_type": "password", "client_id": f"nobodys-{number}"}).error == "invalid_client"

    refused = as_robot("wrong")
    assert refused.error == "rate_limit_exceeded"
    refusal = Refusal.objects.get(pk=refused.body["error_id"])
    assert (refusal.reason, refusal.client_id) == ("ceiling: failed_clients", "robot")


# --- What it costs -------------------------------------------------------------------------------


def test_a_refresh_asks_nothing_of_redis(redis, sign_in, refresh):
    value = sign_in().body["refresh_token"]
    with redis.client() as client:
        before = client.info("stats")["total_commands_processed"]

        for _ in range(5):
            value = refresh(value).body["refresh_token"]

        assert client.info("stats")["total_commands_processed"] - before == 1  # the question itself


def test_a_sign_in_asks_redis_a_handful_of_things(redis, sign_in):
    sign_in()
    with redis.client() as client:
        before = client.info("stats")["total_commands_processed"]

        assert sign_in().status == 200

        assert client.info("stats")["total_commands_processed"] - before - 1 <= 3  # the question itself, and a window may begin


def test_refusals_are_counted_by_ceiling(as_robot):
    before = REGISTRY.get_sample_value("auth_rate_limited_total", {"ceiling": "failed_clients"}) or 0
    for _ in range(25):
        as_robot("wrong")

    assert REGISTRY.get_sample_value("auth_rate_limited_total", {"ceiling": "failed_clients"}) == before + 5
