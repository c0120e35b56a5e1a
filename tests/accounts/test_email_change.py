"""Another address is confirmed from its mailbox and told to the old one; nobody learns whose it is (accounts/email_change.py)."""

import re

import pytest
from django.db import InterfaceError, InternalError, OperationalError
from django.test import Client as Browser

from accounts import email_change, epochs, identifiers, outbox
from accounts.actors import Actor
from accounts.models import AuditEvent, OneTimeToken, Outbox, User
from accounts.one_time_tokens import InvalidCode
from accounts.views import TEXTS
from tests.threads import at_once

ACTOR = Actor(actor_id=None, address="198.51.100.7", user_agent="Editor/1")


@pytest.fixture
def ask(alice):
    def call(email="new@example.com", *, user=alice, language="en"):
        email_change.request(user, email=email, language=language, actor=ACTOR, client_id="editor")

    return call


@pytest.fixture
def sent_code(ask, mailoutbox):
    """Ask for a change, and read the code in the mail."""

    def call(*arguments, **keywords):
        ask(*arguments, **keywords)
        outbox.deliver()
        return code_in(mailoutbox[-1])

    return call


def code_in(mail):
    [link] = [line for line in mail.body.splitlines() if "#" in line]
    return link.partition("#")[2]


def confirm(code, *, language="en"):
    email_change.confirm(code, language=language, actor=ACTOR)


def address_of(user):
    return User.objects.values_list("email", "email_canonical").get(pk=user.pk)


# --- Asking --------------------------------------------------------------------------------------


def test_a_free_address_is_sent_a_code_and_nothing_has_changed_yet(ask, alice):
    ask("New@Example.com")

    row = Outbox.objects.get()
    assert (row.kind, row.user, row.email) == ("email_change", alice, "New@Example.com")
    assert address_of(alice) == ("alice@example.com", "alice@example.com")
    event = AuditEvent.objects.latest()
    assert (event.event, event.target, event.client_id) == ("user:email:change_requested", str(alice.pk), "editor")
    assert "new@" not in str(vars(event)).lower()


def test_the_owner_of_a_taken_address_is_told_and_sent_no_code(ask, bob, mailoutbox):
    ask("BOB@example.com")
    outbox.deliver()

    [mail] = mailoutbox
    assert mail.to == ["bob@example.com"]  # the address on record
    assert "your account bob" in mail.body
    assert "alice" not in mail.body
    assert OneTimeToken.objects.count() == 0


def test_a_free_and_a_taken_address_are_the_same_work(ask, bob, alice, count_statements):
    counts = {}
    for address in ("free@example.com", "bob@example.com", "alice@example.com"):
        with count_statements() as statements:
            ask(address)
        counts[address] = [query["sql"].partition(" ")[0] for query in statements.captured_queries]

    assert counts["free@example.com"] == counts["bob@example.com"] == counts["alice@example.com"]


def test_a_later_request_voids_the_earlier_one(ask, sent_code, alice):
    first = sent_code("first@example.com")
    ask("second@example.com")
    ask("third@example.com")

    with pytest.raises(InvalidCode):
        confirm(first)
    assert Outbox.objects.get(kind="email_change").email == "third@example.com"


@pytest.mark.parametrize("change", [{"session_epoch": 9}, {"is_active": False}], ids=["another password", "disabled"])
def test_what_was_proved_before_a_change_counts_no_more(ask, alice, change):
    User.objects.filter(pk=alice.pk).update(**change)

    with pytest.raises(epochs.Stale):
        ask()
    assert Outbox.objects.count() == 0
    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize("email", ["alice@example.com", "a.b+c@mail.example.com", "alice@пример.рф"])
def test_an_address_that_a_mail_can_be_sent_to_is_taken(email):
    email_change.ensure_deliverable(email)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "alice",
        "alice@",
        "@example.com",
        "alice@example",
        "alice@example.com,mallory@example.com",
        "alice@example.com\nBcc: mallory@example.com",
        "alice @example.com",
        "Alice <alice@example.com>",
        "a" * 250 + "@example.com",
        "al\u0456ce@example.com",
        "\u017fam@example.com",
        "\u212aate@example.com",
        "alice\uff20example.com",
    ],
)
def test_what_is_no_address_or_only_looks_like_one_is_refused(email):
    with pytest.raises(identifiers.InvalidIdentifier):
        email_change.ensure_deliverable(email)


# --- Confirming ----------------------------------------------------------------------------------


def test_the_code_gives_the_user_the_address_and_the_old_one_is_told(sent_code, alice, mailoutbox):
    code = sent_code("New@Example.com")

    confirm(code, language="ru")
    outbox.deliver()

    assert address_of(alice) == ("New@Example.com", "new@example.com")
    told = mailoutbox[-1]
    assert (told.to, told.subject) == (["alice@example.com"], "Адрес электронной почты изменён")
    assert "new@example.com" not in told.body.lower()
    event = AuditEvent.objects.latest()
    assert (event.event, event.actor_id, event.target, event.address) == ("user:email:changed", alice.pk, str(alice.pk), "198.51.100.7")


def test_a_code_works_once(sent_code, alice):
    code = sent_code()
    confirm(code)

    with pytest.raises(InvalidCode):
        confirm(code)
    assert AuditEvent.objects.filter(event="user:email:changed").count() == 1


def test_an_address_that_another_user_got_meanwhile_is_refused_and_changes_nothing(sent_code, alice, make_user):
    code = sent_code("wanted@example.com")
    make_user("mallory", email="WANTED@example.com")

    with pytest.raises(InvalidCode):
        confirm(code)
    assert address_of(alice) == ("alice@example.com", "alice@example.com")
    assert not AuditEvent.objects.filter(event="user:email:changed").exists()
    assert Outbox.objects.count() == 0


def test_a_user_without_an_address_gets_one_and_nobody_else_is_told(sent_code, make_user, mailoutbox):
    nobody = make_user("nobody", email="")

    confirm(sent_code(user=nobody))

    assert address_of(nobody) == ("new@example.com", "new@example.com")
    assert outbox.deliver() == 0


def test_another_spelling_of_ones_own_address_is_no_news_to_it(sent_code, alice):
    confirm(sent_code("Alice@example.com"))

    assert address_of(alice) == ("Alice@example.com", "alice@example.com")
    assert Outbox.objects.count() == 0


def test_with_the_address_change_all_other_codes_are_void(sent_code, alice):
    """Such as one that resets the password and was sent to the old address."""
    from accounts import one_time_tokens

    code = sent_code()
    reset = one_time_tokens.make(alice, purpose="password_reset", email="alice@example.com")

    confirm(code)

    with pytest.raises(InvalidCode):
        one_time_tokens.use(reset, purpose="password_reset")


@pytest.mark.django_db(transaction=True)
def test_of_parallel_confirmations_one_succeeds_and_one_event_is_written(sent_code, alice):
    code = sent_code()

    results = at_once(*[lambda: confirm(code)] * 8, refusals=(InvalidCode,))

    assert results.count(None) == 1
    assert AuditEvent.objects.filter(event="user:email:changed").count() == 1
    assert Outbox.objects.filter(kind="email_changed").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_users_who_confirm_one_address_at_once_one_has_it(sent_code, alice, bob):
    codes = [sent_code(user=user) for user in (alice, bob)]

    results = at_once(*[lambda code=code: confirm(code) for code in codes], refusals=(InvalidCode,))

    assert results.count(None) == 1
    assert User.objects.filter(email_canonical="new@example.com").count() == 1


# --- The page ------------------------------------------------------------------------------------


@pytest.fixture
def browser(db):
    return Browser(raise_request_exception=False, enforce_csrf_checks=True)


@pytest.fixture
def submit(browser):
    """Open the page, and send its form with this code."""

    def call(code, **headers):
        browser.get("/confirm-email")
        token = browser.cookies["authserver-csrf"].value
        return browser.post("/confirm-email", {"code": code, "csrfmiddlewaretoken": token}, **headers)

    return call


def test_the_page_takes_the_code(submit, sent_code, alice):
    response = submit(sent_code())

    assert response.status_code == 200
    assert TEXTS["en"]["done"] in response.content.decode()
    assert address_of(alice)[0] == "new@example.com"


def test_looking_at_the_page_uses_no_code(browser, sent_code, alice):
    code = sent_code()

    for path in ("/confirm-email", f"/confirm-email?code={code}"):
        assert browser.get(path).status_code == 200
        assert browser.head(path).status_code == 200

    assert OneTimeToken.objects.count() == 1
    assert address_of(alice)[0] == "alice@example.com"


@pytest.mark.parametrize("code", ["", "wrong", "x" * 10_000, "\x00"])
def test_a_code_that_does_not_work_is_refused_with_the_form_again_and_not_repeated(submit, code):
    response = submit(code)

    text = response.content.decode()
    assert response.status_code == 400
    assert TEXTS["en"]["refused"] in text
    assert '<input id="code"' in text
    assert "value=" not in re.search(r'<input id="code".*?>', text)[0]
    assert not code.strip() or f'"{code}"' not in text


def test_a_form_from_elsewhere_is_refused(browser, sent_code, alice):
    assert browser.post("/confirm-email", {"code": sent_code()}).status_code == 403
    assert address_of(alice)[0] == "alice@example.com"


def test_the_page_speaks_russian_to_who_asks_for_it(browser, submit):
    page = browser.get("/confirm-email", HTTP_ACCEPT_LANGUAGE="de, ru-RU;q=0.8, en;q=0.5")

    assert page["Content-Language"] == "ru"
    assert "Accept-Language" in page["Vary"]
    assert TEXTS["ru"]["intro"] in page.content.decode()
    assert TEXTS["ru"]["refused"] in submit("wrong", HTTP_ACCEPT_LANGUAGE="ru").content.decode()


def test_the_page_holds_no_script_and_no_style_of_its_own(browser):
    page = browser.get("/confirm-email")

    text = page.content.decode()
    assert "script-src 'self'" in page["Content-Security-Policy"]
    assert re.findall(r"<script(?![^>]* src=)", text) == []
    assert '<script src="/static/confirm_email.js" defer></script>' in text
    assert " style=" not in text
    assert "<style" not in text
    assert "onclick" not in text


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, InternalError])
def test_while_the_database_is_away_the_page_says_so_and_the_code_stays_good(submit, sent_code, monkeypatch, error):
    def fail(*_, **__):
        raise error("the server closed the connection")

    code = sent_code()
    with monkeypatch.context() as patch:
        patch.setattr(email_change.one_time_tokens, "use", fail)
        response = submit(code)

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert TEXTS["en"]["away"] in response.content.decode()
    assert OneTimeToken.objects.count() == 1


def test_other_methods_are_refused(client):
    response = client.put("/confirm-email")

    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, POST"


def test_both_languages_say_the_same_things():
    assert TEXTS["en"].keys() == TEXTS["ru"].keys()
