"""POST /oauth/token: what is let in, and the one shape of every refusal."""

import json
import logging

import pytest
from django.db import OperationalError
from django.test import Client as Browser

from oauth import grant_types
from oauth.models import Session
from tests.conftest import PASSWORD

GOOD = {"grant_type": "password", "username": "alice", "password": PASSWORD, "client_id": "editor"}


def assert_refused(answer, error, status=400):
    assert (answer.status, answer.error) == (status, error), answer.body
    assert answer.response["Content-Type"] == "application/json"
    assert answer.response["Cache-Control"] == "no-store"
    assert answer.response["Pragma"] == "no-cache"
    assert len(answer.body["error_id"]) == 16
    assert answer.body["error_description"]
    assert Session.objects.count() == 0


@pytest.fixture(autouse=True)
def _alice_and_her_editor(alice, editor):
    """Whatever is refused here would have been answered, but for the one thing wrong."""


def test_a_token_answer_has_the_fields_and_headers_of_the_contract(post):
    answer = post(GOOD)

    assert answer.status == 200
    assert list(answer.body) == ["access_token", "token_type", "expires_in", "refresh_token", "scope"]
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["expires_in"] == 900
    assert answer.body["scope"] == "api:read api:write"
    assert answer.response["Cache-Control"] == "no-store"
    assert answer.response["Pragma"] == "no-cache"
    assert answer.response["Content-Type"] == "application/json"


@pytest.mark.checklist(1, 20)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_with_what_is_allowed(method):
    response = Browser().generic(method, "/oauth/token", b"", content_type="application/x-www-form-urlencoded")

    assert response.status_code == 405
    assert response["Allow"] == "POST"
    assert response["Content-Type"] == "application/json"
    if method != "HEAD":
        assert json.loads(response.content)["error"] == "invalid_request"


@pytest.mark.checklist(2)
@pytest.mark.parametrize("query", ["username=alice&password=x", "client_id=editor", "x=1"])
def test_a_query_string_is_refused(post, query):
    assert_refused(post(GOOD, path=f"/oauth/token?{query}"), "invalid_request")


@pytest.mark.checklist(3)
@pytest.mark.spec("RFC 6749", "3.2", "parameters MUST NOT be included more than once")
@pytest.mark.parametrize(
    "name",
    [
        "grant_type",
        "username",
        "password",
        "scope",
        "client_id",
        "client_secret",
        "refresh_token",
        "code",
        "code_verifier",
        "redirect_uri",
        "device_code",
        "resource",
        "zzz",
    ],
)
def test_a_repeated_parameter_is_refused(post, name):
    body = "grant_type=password&username=alice&password=correct+horse+battery&client_id=editor"

    assert_refused(post(f"{body}&{name}=a&{name}=b".encode()), "invalid_request")


@pytest.mark.checklist(4)
def test_an_unknown_parameter_is_ignored(post):
    assert post(GOOD | {"resource_hint": "1"}).status == 200


@pytest.mark.checklist(5)
@pytest.mark.spec("RFC 6749", "3.2", "parameters sent without a value MUST be treated as if they were omitted")
def test_an_empty_optional_parameter_counts_as_absent(post):
    assert post(GOOD | {"scope": "", "client_secret": ""}).body["scope"] == "api:read api:write"


@pytest.mark.checklist(5, 6)
@pytest.mark.parametrize("name", ["grant_type", "username", "password"])
def test_a_required_parameter_missing_or_empty_is_named(post, name):
    for form in ({key: value for key, value in GOOD.items() if key != name}, GOOD | {name: ""}):
        answer = post(form)

        assert_refused(answer, "invalid_request")
        assert name in answer.body["error_description"]


@pytest.mark.checklist(6)
def test_a_refresh_without_its_token_is_malformed(post):
    assert_refused(post({"grant_type": "refresh_token", "client_id": "editor"}), "invalid_request")


@pytest.mark.checklist(7)
@pytest.mark.parametrize("grant_type", ["zzz", "implicit", "PASSWORD", "Authorization_Code"])
def test_a_grant_type_that_is_not_offered_is_refused(post, grant_type):
    assert_refused(post(GOOD | {"grant_type": grant_type}), "unsupported_grant_type")


@pytest.mark.checklist(57)
def test_the_password_grant_switched_off_is_not_offered(post, settings):
    settings.PASSWORD_GRANT = False

    assert_refused(post(GOOD), "unsupported_grant_type")


@pytest.mark.checklist(25, 57)
def test_a_grant_that_the_client_may_not_use_is_refused(post, make_client):
    make_client("reader", grant_types=("refresh_token",))

    assert_refused(post(GOOD | {"client_id": "reader"}), "unauthorized_client")


@pytest.mark.checklist(8)
@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data; boundary=x", "text/plain", "", "invalid/@@##", "text", "</><script>", ";charset=utf-8"],
)
def test_another_content_type_is_refused(post, content_type):
    assert_refused(post(GOOD, content_type=content_type), "invalid_request")


@pytest.mark.checklist(9)
def test_the_charset_may_be_named_when_it_is_utf_8(post):
    form = "application/x-www-form-urlencoded"

    for accepted in (f"{form};charset=UTF-8", f'{form}; charset="utf-8"', f"{form.upper()} ; Charset=utf8"):
        assert post(GOOD, content_type=accepted).status == 200
    Session.objects.all().delete()
    for refused in (f"{form};charset=utf-16", f"{form};charset=bogus", f"{form};charset=latin-1"):
        assert_refused(post(GOOD, content_type=refused), "invalid_request")


@pytest.mark.checklist(10)
def test_a_body_over_64_kib_is_refused_with_413(post):
    padding = b"&pad=" + b"a" * 65536

    assert_refused(post(b"grant_type=password" + padding), "invalid_request", status=413)


@pytest.mark.checklist(11)
def test_a_body_of_more_than_100_parameters_is_refused(post):
    many = b"&".join(b"p%d=1" % number for number in range(101))

    assert_refused(post(many), "invalid_request")


@pytest.mark.checklist(12)
@pytest.mark.parametrize("escape", ["%00", "%01", "%0A", "%0D", "%1B", "%7F", "%C2%85"])
@pytest.mark.parametrize(
    "name",
    [
        "grant_type",
        "username",
        "password",
        "scope",
        "client_id",
        "refresh_token",
        "code",
        "code_verifier",
        "redirect_uri",
        "device_code",
        "resource",
        "zzz",
    ],
)
def test_a_control_character_in_any_parameter_is_refused(post, name, escape):
    assert_refused(post(f"{name}=a{escape}b".encode()), "invalid_request")


@pytest.mark.checklist(13)
@pytest.mark.parametrize("value", [b"%ff%fe", b"%ed%a0%80", b"%zz", b"%", b"%4", b"%c0%af", b"\xff\xfe", b"%f4%90%80%80"])
def test_what_is_not_utf_8_or_no_escape_is_refused(post, value):
    assert_refused(post(b"grant_type=password&client_id=editor&password=x&username=" + value), "invalid_request")


def test_a_parameter_may_be_sent_in_raw_utf_8(post, make_user):
    make_user("юзер", email="y@example.com", password="пароль из слов")

    answer = post("grant_type=password&client_id=editor&username=юзер&password=пароль+из+слов".encode())

    assert answer.status == 200


@pytest.mark.checklist(14)
def test_an_oversized_user_name_or_password_is_refused_like_a_wrong_one(post):
    assert_refused(post(GOOD | {"password": "x" * 60_000}), "invalid_grant")
    assert_refused(post(GOOD | {"username": "x" * 60_000}), "invalid_grant")


@pytest.mark.checklist(18, 110)
@pytest.mark.parametrize(
    "path", ["/oauth/token/", "/oauth/Token", "//oauth/token", "/oauth/token/..;/", "/oauth", "/api/v1/nothing", "/.well-known/x", "/%00"]
)
def test_a_path_that_is_none_of_ours_is_a_404_in_json_and_no_redirect(post, path):
    answer = post(GOOD, path=path)

    assert_refused(answer, "not_found", status=404)


@pytest.mark.checklist(19)
def test_who_accepts_html_gets_json_all_the_same(post):
    assert post(GOOD, HTTP_ACCEPT="text/html").status == 200


@pytest.mark.checklist(110, 111)
def test_a_store_that_is_down_is_a_503_with_retry_after(post, monkeypatch):
    def fail(request):
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setitem(grant_types.GRANT_TYPES, "password", fail)

    answer = post(GOOD)

    assert_refused(answer, "temporarily_unavailable", status=503)
    assert int(answer.response["Retry-After"]) >= 1
    assert "10.1.2.3" not in answer.response.content.decode()


@pytest.mark.checklist(110)
def test_a_bug_is_a_500_in_json_without_a_trace_of_it(post, monkeypatch, caplog):
    def fail(request):
        raise ZeroDivisionError("the secret sauce")

    monkeypatch.setitem(grant_types.GRANT_TYPES, "password", fail)

    answer = post(GOOD)

    assert_refused(answer, "server_error", status=500)
    assert "sauce" not in answer.response.content.decode()
    assert answer.body["error_id"] in {getattr(record, "error_id", None) for record in caplog.records}


@pytest.mark.checklist(95)
def test_without_a_signing_key_nothing_is_issued_and_nothing_spent(post, signing_key):
    signing_key.delete()

    assert_refused(post(GOOD), "temporarily_unavailable", status=503)


def test_the_true_reason_is_in_the_log_under_the_error_id_of_the_answer(post, caplog):
    caplog.set_level(logging.INFO, logger="authserver.refusals")

    answer = post(GOOD | {"password": "wrong"})

    [record] = [record for record in caplog.records if record.name == "authserver.refusals"]
    assert (record.error_id, record.reason) == (answer.body["error_id"], "wrong password")
    assert "wrong password" not in answer.response.content.decode()


def test_invalid_grant_can_be_answered_with_the_status_of_the_older_service(post, settings):
    settings.INVALID_GRANT_STATUS = 401

    assert_refused(post(GOOD | {"password": "wrong"}), "invalid_grant", status=401)
    assert_refused(post(GOOD | {"scope": "admin"}), "invalid_scope", status=400)


@pytest.mark.parametrize("key", ["short", "x" * 15, "x" * 256, "white space inside", "é" * 20])
def test_an_idempotency_key_that_is_none_is_refused_before_anything_is_done(post, key):
    assert_refused(post(GOOD, HTTP_IDEMPOTENCY_KEY=key), "invalid_request")
