"""A forgotten password: one answer for every address, one use for every code."""

import json
import time
from functools import partial

import pytest
from django.core.cache import cache
from django.test import Client as Browser

from accounts import outbox, password_reset
from accounts.models import AuditEvent, OneTimeToken, Outbox, User
from accounts.one_time_tokens import InvalidCode
from accounts.reset_views import TEXTS
from tests.conftest import PASSWORD
from tests.threads import at_once

NEW = "a new and different phrase"
REQUEST, CONFIRM = "/api/v1/password-reset/request", "/api/v1/password-reset/confirm"


@pytest.fixture(autouse=True)
def _no_ceiling_used():
    cache.clear()


@pytest.fixture
def send(db):
    browser = Browser(raise_request_exception=False)

    def call(path, body, **headers):
        return browser.post(path, json.dumps(body), content_type="application/json", **headers)

    return call


@pytest.fixture
def code(alice, send, mailoutbox):
    """The code from the mail that alice asked for."""
    send(REQUEST, {"email": "alice@example.com"})
    outbox.deliver()
    [link] = [line for line in mailoutbox[-1].body.splitlines() if "#" in line]
    return link.partition("#")[2]


def without_id(response):
    return {name: value for name, value in response.json().items() if name != "error_id"}


def test_the_answer_is_the_same_whether_or_not_the_address_is_known(alice, make_user, send):
    make_user("disabled", is_active=False)

    answers = [send(REQUEST, {"email": email}) for email in ("alice@example.com", "nobody@example.com", "disabled@example.com")]

    assert {(answer.status_code, answer.content) for answer in answers} == {(202, b'{"status":"mail_sent_if_possible"}')}
    assert list(Outbox.objects.order_by("pk").values_list("user_id", "email")) == [(alice.pk, "alice@example.com"), (None, ""), (None, "")]


def test_known_and_unknown_addresses_cost_the_same_statements(alice, send, count_statements):
    counts = []
    for email in ("alice@example.com", "nobody@example.com"):
        with count_statements() as statements:
            send(REQUEST, {"email": email})
        counts.append(len(statements))

    assert counts[0] == counts[1]


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_every_address_is_answered_on_a_beat(alice, send, email):
    started = time.monotonic()

    send(REQUEST, {"email": email})

    assert time.monotonic() - started >= password_reset.ANSWER_SECONDS


def test_an_unknown_address_gets_no_mail(send, mailoutbox):
    send(REQUEST, {"email": "nobody@example.com"})
    outbox.deliver()

    assert mailoutbox == []
    assert not Outbox.objects.exists()


def test_the_mail_goes_to_the_address_on_record_in_whatever_spelling_it_was_asked_for(alice, send, mailoutbox):
    send(REQUEST, {"email": "ALICE@Example.com"}, HTTP_ACCEPT_LANGUAGE="ru")
    outbox.deliver()

    [mail] = mailoutbox
    assert mail.to == ["alice@example.com"]
    assert mail.subject == "Новый пароль"
    assert "http://localhost:8003/password-reset/confirm#" in mail.body


def test_the_link_is_made_from_the_issuer_whatever_the_host(alice, send, mailoutbox, settings):
    settings.ALLOWED_HOSTS = ["*"]

    send(REQUEST, {"email": "alice@example.com"}, HTTP_HOST="evil.example")
    outbox.deliver()

    assert "evil.example" not in mailoutbox[0].body + str(mailoutbox[0].alternatives)


def test_a_code_sets_the_password_once(alice, code, send):
    first = send(CONFIRM, {"token": code, "new_password": NEW})
    second = send(CONFIRM, {"token": code, "new_password": "yet another new phrase"})

    assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, second.json()["error"]) == (400, "invalid_code")
    assert User.objects.get(pk=alice.pk).check_password(NEW)
    event = AuditEvent.objects.get(event="user:password:reset")
    assert (event.actor_id, event.target) == (alice.pk, str(alice.pk))


@pytest.mark.checklist(69)
def test_a_reset_ends_every_session(signed_in, code, send, refresh, client):
    send(CONFIRM, {"token": code, "new_password": NEW})

    assert refresh(signed_in.body["refresh_token"]).error == "invalid_grant"
    assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {signed_in.body['access_token']}").status_code == 401


def test_a_reset_lifts_the_lock(alice, sign_in, code, send):
    for _ in range(5):
        sign_in("alice", "wrong")
    assert sign_in("alice", PASSWORD).error == "account_locked"

    send(CONFIRM, {"token": code, "new_password": NEW})

    assert sign_in("alice", NEW).status == 200


def test_a_code_works_for_half_an_hour(alice, code, send, later):
    later(minutes=31)

    assert send(CONFIRM, {"token": code, "new_password": NEW}).json()["error"] == "invalid_code"
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


def test_a_password_that_the_policy_refuses_leaves_the_code_good(alice, code, send):
    refused = send(CONFIRM, {"token": code, "new_password": "alice"})

    assert (refused.status_code, refused.json()["error"]) == (400, "password_policy")
    assert refused.json()["reasons"]
    assert send(CONFIRM, {"token": code, "new_password": NEW}).status_code == 204


def test_wrong_used_and_foreign_codes_get_one_answer(alice, code, send, later):
    send(CONFIRM, {"token": code, "new_password": NEW})

    answers = [without_id(send(CONFIRM, {"token": token, "new_password": NEW})) for token in (code, "x", code[:-1], code * 3)]

    assert all(answer == answers[0] for answer in answers)


def test_a_user_disabled_meanwhile_gets_no_password(alice, code, send):
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert send(CONFIRM, {"token": code, "new_password": NEW}).json()["error"] == "invalid_code"


def test_the_owner_is_told_of_the_change(alice, code, send, mailoutbox):
    send(CONFIRM, {"token": code, "new_password": NEW})
    outbox.deliver()

    assert mailoutbox[-1].subject == "Your password was changed"
    assert NEW not in mailoutbox[-1].body


def test_asking_again_at_once_sends_no_second_mail_and_leaves_the_first_code_good(alice, code, send, mailoutbox):
    send(REQUEST, {"email": "alice@example.com"})
    outbox.deliver()

    assert len(mailoutbox) == 1
    assert send(CONFIRM, {"token": code, "new_password": NEW}).status_code == 204


def test_the_code_is_at_rest_as_a_digest(code):
    assert code not in str(list(OneTimeToken.objects.values()))
    assert len(bytes(OneTimeToken.objects.get().digest)) == 32


def test_without_a_mail_server_there_is_no_reset(alice, send, settings):
    settings.EMAIL_URL = ""

    assert send(REQUEST, {"email": "alice@example.com"}).status_code == 404
    assert send(CONFIRM, {"token": "x", "new_password": NEW}).status_code == 404
    assert Browser().get("/password-reset").status_code == 404


def test_one_address_asks_twenty_times_in_five_minutes(send):
    statuses = [send(REQUEST, {"email": f"user{number}@example.com"}).status_code for number in range(21)]

    assert statuses == [202] * 20 + [429]


def test_a_mail_that_cannot_be_sent_is_invisible(alice, send, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    answer = send(REQUEST, {"email": "alice@example.com"})
    outbox.deliver()

    assert answer.status_code == 202
    assert Outbox.objects.get().tries == 1


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_pages_take_a_person_through_it(alice, mailoutbox, language):
    browser = Browser(HTTP_ACCEPT_LANGUAGE=language)
    texts = TEXTS[language]

    assert texts["ask"] in browser.get("/password-reset").content.decode()
    assert texts["sent"] in browser.post("/password-reset", {"email": "alice@example.com"}).content.decode()
    outbox.deliver()
    code = mailoutbox[-1].body.partition("#")[2].split()[0]
    differ = browser.post("/password-reset/confirm", {"code": code, "password": NEW, "again": "other"})
    weak = browser.post("/password-reset/confirm", {"code": code, "password": "alice", "again": "alice"})
    done = browser.post("/password-reset/confirm", {"code": code, "password": NEW, "again": NEW})
    used = browser.post("/password-reset/confirm", {"code": code, "password": NEW, "again": NEW})

    assert (differ.status_code, weak.status_code, done.status_code, used.status_code) == (400, 400, 200, 400)
    assert texts["differ"] in differ.content.decode()
    assert f'value="{code}"' in differ.content.decode()
    assert texts["done"] in done.content.decode()
    assert texts["invalid_code"] in used.content.decode()
    assert User.objects.get(pk=alice.pk).check_password(NEW)


def test_the_pages_ask_for_the_csrf_token(alice):
    browser = Browser(enforce_csrf_checks=True)

    assert browser.post("/password-reset", {"email": "alice@example.com"}).status_code == 403
    assert not Outbox.objects.exists()


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\u2028"])
def test_a_password_that_a_door_would_refuse_is_refused_everywhere(alice, code, send, character):
    unprintable = f"a new and{character}different phrase"

    page = Browser().post("/password-reset/confirm", {"code": code, "password": unprintable, "again": unprintable})
    api = send(CONFIRM, {"token": code, "new_password": unprintable})

    assert (page.status_code, api.status_code) == (400, 400)
    assert "control characters" in page.content.decode()
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


def test_the_page_gives_the_reasons_of_the_policy_in_its_language(code):
    def reasons(password):
        form = {"code": code, "password": password, "again": password}
        return Browser(HTTP_ACCEPT_LANGUAGE="ru").post("/password-reset/confirm", form).content.decode()

    assert "Введённый пароль слишком короткий" in reasons("q7")
    assert "не должен быть длиннее 128 символов" in reasons("q7" * 100)
    assert "управляющих символов" in reasons("q7\x07" * 10)
    assert "This password" not in reasons("password123")


def test_looking_and_slips_use_nothing_up(alice, send):
    page = Browser()
    for _ in range(25):
        page.get(REQUEST)
        send(REQUEST, {"email": "no address"})
        page.post("/password-reset", {"email": "no address"})
        page.post("/password-reset/confirm", {"code": "x", "password": "one", "again": "other"})

    assert send(REQUEST, {"email": "alice@example.com"}).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_of_two_uses_of_a_code_at_once_one_counts(alice, code):
    def use(password):
        password_reset.confirm(code, password=password, language="en", actor={"actor_id": None, "address": None, "user_agent": ""})
        return password

    passwords = [f"{NEW} {number}" for number in range(2)]
    results = at_once(*[partial(use, password) for password in passwords], refusals=(InvalidCode,))

    [winner] = [result for result in results if isinstance(result, str)]
    assert User.objects.get(pk=alice.pk).check_password(winner)
    assert AuditEvent.objects.filter(event="user:password:reset").count() == 1
