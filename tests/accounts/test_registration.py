"""An account of one's own: off by default, of no use until it is confirmed, and silent about whose an address is."""

import json
import threading

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client as Browser

from accounts import outbox, registration
from accounts.models import AuditEvent, Outbox, User
from tests.conftest import PASSWORD

CAROL = {"username": "carol", "email": "carol@example.com", "password": "a phrase of carol's own"}


@pytest.fixture(autouse=True)
def _open(settings):
    settings.REGISTRATION = "open"
    cache.clear()


@pytest.fixture
def send(db):
    browser = Browser(raise_request_exception=False)

    def call(body, path="/api/v1/register"):
        return browser.post(path, json.dumps(body), content_type="application/json")

    return call


@pytest.fixture
def confirm(send, mailoutbox):
    def call():
        outbox.deliver()
        code = mailoutbox[-1].body.partition("#")[2].split()[0]
        return send({"token": code}, path="/api/v1/confirm-email")

    return call


def test_it_is_off_by_default(send, settings):
    settings.REGISTRATION = "closed"

    assert send(CAROL).status_code == 404
    assert not User.objects.exists()


def test_who_registered_signs_in_after_the_confirmation_and_not_before(send, confirm, sign_in):
    answer = send(CAROL)
    before = sign_in("carol", CAROL["password"])
    confirmed = confirm()
    after = sign_in("carol@example.com", CAROL["password"])

    assert (answer.status_code, answer.json()) == (202, {"status": "mail_sent_if_possible"})
    assert before.error == "invalid_grant"
    assert confirmed.status_code == 204
    assert after.status == 200
    carol = User.objects.get(username="carol")
    assert (carol.email, carol.awaits_confirmation, carol.is_staff) == ("carol@example.com", False, False)
    events = AuditEvent.objects.filter(target=str(carol.pk)).values_list("event", flat=True)
    assert {"user:account:registered", "user:account:confirmed"} <= set(events)


def test_an_address_that_is_somebodys_gets_the_same_answer_and_its_owner_is_told(alice, send, mailoutbox):
    free, taken = send(CAROL), send(CAROL | {"username": "caroline", "email": "alice@example.com"})
    outbox.deliver()

    assert (free.status_code, free.content) == (taken.status_code, taken.content)
    assert {mail.to[0]: mail.subject for mail in mailoutbox}["alice@example.com"] == "Your e-mail address is in use already"
    assert send(CAROL | {"username": "caroline"}).status_code == 400  # the name is taken in both cases
    assert User.objects.get(pk=alice.pk).email == "alice@example.com"


def test_a_user_name_that_is_taken_is_refused_in_any_spelling(alice, send):
    refused = send(CAROL | {"username": " ALICE "})

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert not Outbox.objects.exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"password": "carol"}, "password_policy"),
        ({"password": "password123"}, "password_policy"),
        ({"password": "carol@example.com"}, "password_policy"),
        ({"email": "no address"}, "invalid_request"),
        ({"username": "with spaces"}, "invalid_request"),
        ({"username": "car\u200dol"}, "invalid_request"),
        ({"is_staff": "true"}, "invalid_request"),
    ],
)
def test_what_is_not_allowed_is_refused_and_makes_nobody(send, change, error):
    refused = send(CAROL | change)

    assert (refused.status_code, refused.json()["error"]) == (400, error)
    assert not User.objects.exists()


def test_of_two_who_registered_one_address_the_first_to_confirm_has_it(send, confirm, mailoutbox):
    send(CAROL)
    send(CAROL | {"username": "caroline"})
    outbox.deliver()
    codes = [mail.body.partition("#")[2].split()[0] for mail in mailoutbox]

    answers = [send({"token": code}, path="/api/v1/confirm-email").status_code for code in codes]

    assert answers == [204, 400]
    assert User.objects.filter(email_canonical="carol@example.com").count() == 1


def test_who_never_confirms_is_removed_after_a_day(send, later, alice):
    send(CAROL)
    assert registration.prune() == 0

    later(days=1, minutes=1)

    assert registration.prune() == 1
    assert list(User.objects.values_list("username", flat=True)) == ["alice"]


def test_a_disabled_user_is_not_enabled_by_the_confirmation(send, confirm):
    send(CAROL)
    outbox.deliver()
    User.objects.filter(username="carol").update(is_active=False)

    assert confirm().status_code == 400
    assert not User.objects.get(username="carol").is_active


def test_the_password_is_stored_as_a_hash_and_nowhere_else(send):
    send(CAROL)

    stored = str([list(model.objects.values()) for model in (User, Outbox, AuditEvent)])
    assert CAROL["password"] not in stored
    assert PASSWORD not in stored


def test_the_owner_of_an_address_is_told_at_the_address_on_record(alice, send, mailoutbox):
    send(CAROL | {"email": "ALICE@example.com"})
    outbox.deliver()

    [mail] = mailoutbox
    assert mail.to == ["alice@example.com"]
    assert "signed in at" not in mail.body


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_mail_to_an_unproved_address_holds_nothing_that_was_chosen(send, mailoutbox, language):
    actor = {"actor_id": None, "address": None, "user_agent": ""}
    chosen = {"username": "win-now.evil.example", "name": "Visit evil.example"}
    registration.register(**chosen, email="stranger@example.com", password=CAROL["password"], language=language, actor=actor)
    outbox.deliver()

    [mail] = mailoutbox
    assert "evil.example" not in mail.body + str(mail.alternatives) + mail.subject


def test_the_name_is_stored_in_nfc(send):
    send(CAROL | {"name": "Zoe\u0308"})

    assert User.objects.get(username="carol").name == "Zo\u00eb"


def test_a_body_that_is_refused_uses_nothing_up(send):
    slips = {send(CAROL | {"email": "no address"}).status_code for _ in range(25)}

    assert slips == {400}
    assert send(CAROL).status_code == 202


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
def test_who_confirms_while_accounts_are_pruned_stays(send, later):
    send(CAROL)
    later(days=1, minutes=1)
    confirmed, pruned = threading.Event(), []

    def prune():
        pruned.append(registration.prune())
        connection.close()

    with transaction.atomic():
        User.objects.filter(username="carol").update(awaits_confirmation=False)
        thread = threading.Thread(target=prune)
        thread.start()
        confirmed.wait(0.5)  # it reads the user, and waits for this row
    thread.join(timeout=30)

    assert pruned == [0]
    assert User.objects.filter(username="carol").exists()
