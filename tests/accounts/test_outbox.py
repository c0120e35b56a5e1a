"""Mails wait as rows, are sent once, tried again, given up; no row and no log line holds a code (accounts/outbox.py)."""

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import OperationalError

from accounts import one_time_tokens, outbox, passwords
from accounts.languages import LANGUAGES
from accounts.models import OneTimeToken, Outbox, User
from tests.accounts.smtp import code_of, mail_server, text_of
from tests.threads import at_once

ROOT = Path(__file__).parents[2]


@pytest.fixture
def put(alice):
    def call(kind="email_change", *, user=alice, email="new@example.com", language="en"):
        outbox.put(kind, user=user, email=email, language=language)

    return call


@pytest.fixture
def smtp(settings):
    """A mail server on a port of its own, and settings that lead to it."""
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        yield server


@pytest.fixture
def dead_smtp(smtp):
    smtp.shutdown()
    smtp.server_close()
    return smtp


def due_in():
    """After how many seconds the row is due again, by the tests' database."""
    row = Outbox.objects.get()
    return int((row.next_try_at - row.created_at).total_seconds() // 5 * 5)  # the test itself takes a while


# --- Over a real connection ----------------------------------------------------------------------


def test_a_mail_is_sent_over_smtp_and_its_row_goes(put, smtp, settings):
    put()

    assert outbox.deliver() == 1

    [sent] = smtp.mails
    assert (sent["To"], sent["From"], sent["Subject"]) == ("new@example.com", settings.DEFAULT_FROM_EMAIL, "Confirm your e-mail address")
    assert sent["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in sent.iter_parts()] == ["text/plain", "text/html"]
    assert Outbox.objects.count() == 0
    assert outbox.deliver() == 0


def test_the_code_in_the_mail_is_the_one_that_works_and_its_digest_alone_is_stored(put, smtp, alice):
    put()
    assert OneTimeToken.objects.count() == 0

    outbox.deliver()

    code = code_of(smtp.mails[0])
    stored = OneTimeToken.objects.get()
    assert (stored.user, stored.purpose, stored.email) == (alice, "email_change", "new@example.com")
    assert code not in str(vars(stored))
    assert one_time_tokens.use(code, purpose="email_change") == (alice, "new@example.com")


def test_the_link_begins_with_the_issuer_and_holds_the_code_in_its_fragment(put, smtp, settings):
    settings.JWT_ISSUER = "https://auth.example.com/"
    put()

    outbox.deliver()

    code = code_of(smtp.mails[0])
    link = f"https://auth.example.com/confirm-email#{code}"
    assert link in text_of(smtp.mails[0]).splitlines()
    assert f'href="{link}"' in smtp.mails[0].get_body(("html",)).get_content()
    assert code in text_of(smtp.mails[0]).splitlines()


def test_a_mail_in_russian_arrives_in_russian(put, smtp):
    put(language="ru")

    outbox.deliver()

    [sent] = smtp.mails
    assert sent["Subject"].strip() == "Подтвердите адрес электронной почты"
    assert "Код действует один раз" in text_of(sent)
    assert '<html lang="ru">' in sent.get_body(("html",)).get_content()


def test_a_mail_server_that_is_away_delays_the_mail(put, dead_smtp, later):
    put()

    assert outbox.deliver() == 0

    row = Outbox.objects.get()
    assert (row.tries, due_in()) == (1, 30)
    assert outbox.deliver() == 0
    assert Outbox.objects.get().tries == 1
    later(seconds=31)
    assert outbox.deliver() == 0
    assert Outbox.objects.get().tries == 2


def test_a_mail_server_that_says_no_delays_the_mail_and_no_line_quotes_the_address(put, smtp, caplog):
    smtp.refuses = True
    put(email="secret.person@example.com")

    with caplog.at_level(logging.DEBUG):
        outbox.deliver()

    assert Outbox.objects.get().tries == 1
    [record] = [record for record in caplog.records if record.name == "accounts.outbox"]
    assert (record.kind, record.reason, record.outbox_id) == ("email_change", "SMTPRecipientsRefused", Outbox.objects.get().pk)
    assert "secret.person" not in str([vars(record) for record in caplog.records])


def test_a_second_try_has_a_code_of_its_own_and_the_first_is_void(put, smtp, later):
    smtp.refuses = True
    put()
    outbox.deliver()
    [first] = OneTimeToken.objects.values_list("digest", flat=True)
    smtp.refuses = False
    later(seconds=31)

    outbox.deliver()

    assert [bytes(digest) for digest in OneTimeToken.objects.values_list("digest", flat=True)] != [bytes(first)]
    assert one_time_tokens.use(code_of(smtp.mails[0]), purpose="email_change")


def test_a_mail_server_that_never_answers_is_given_up_after_a_while(put, settings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
        settings.EMAIL_TIMEOUT = 0.2
        put()

        assert outbox.deliver() == 0

    assert Outbox.objects.get().tries == 1


# --- How often, how long -------------------------------------------------------------------------


def test_the_delays_double_up_to_an_hour(put, dead_smtp):
    put()

    delays = []
    for tries in (0, 1, 2, 6, 7, 8, 30_000):
        row = Outbox.objects.get()
        outbox._put_off(outbox.Due(row.pk, row.kind, tries, is_too_old=False), reason="test")
        delays.append(due_in())

    assert delays == [30, 60, 120, 1920, 3600, 3600, 3600]


def test_after_a_day_a_mail_is_given_up_with_an_error_that_names_no_address(put, dead_smtp, later, caplog):
    put()
    outbox.deliver()
    later(hours=24, seconds=1)

    assert outbox.deliver() == 0

    assert Outbox.objects.count() == 0
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.message, record.kind, record.reason) == ("a mail was given up", "email_change", "too old")
    assert "new@example.com" not in caplog.text


@pytest.mark.parametrize("address", ["a@example.com\nBcc: everybody@example.com", "a@example.com\r\n\r\nBody", "a@b, c@d"])
def test_an_address_that_would_become_another_header_is_given_up_at_once(put, smtp, address, caplog):
    put(email=address)

    assert outbox.deliver() == 0

    assert smtp.mails == []
    assert Outbox.objects.count() == 0
    assert "a mail was given up" in caplog.text
    assert "example.com" not in caplog.text


def test_one_mail_that_fails_holds_up_no_other(put, smtp):
    put(email="a@example.com\nBcc: b@example.com")
    put("email_taken", email="fine@example.com")

    assert outbox.deliver() == 1

    assert smtp.mails[0]["To"] == "fine@example.com"


# --- For whom ------------------------------------------------------------------------------------


def test_a_row_without_a_user_is_only_erased(put, mailoutbox):
    put(user=None)

    assert outbox.deliver() == 0

    assert Outbox.objects.count() == 0
    assert mailoutbox == []


def test_a_disabled_user_is_sent_nothing(put, mailoutbox, alice):
    put()
    User.objects.filter(pk=alice.pk).update(is_active=False)

    outbox.deliver()

    assert (Outbox.objects.count(), OneTimeToken.objects.count(), mailoutbox) == (0, 0, [])


def test_withdrawing_stops_the_codes_of_one_user_and_no_other_mail(put, alice, bob):
    put()
    put(user=bob)
    put("email_changed")
    outbox.deliver()
    put()
    put(user=bob)
    put("email_changed")

    outbox.withdraw(alice)

    assert sorted(Outbox.objects.values_list("kind", "user__username")) == [("email_change", "bob"), ("email_changed", "alice")]
    assert OneTimeToken.objects.get().user == bob


def test_a_password_that_staff_set_withdraws_the_codes_too(put, alice):
    put()
    outbox.deliver()
    put()

    alice.set_password("another horse battery")
    passwords.store(alice)

    assert (Outbox.objects.count(), OneTimeToken.objects.count()) == (0, 0)


def test_a_kind_of_a_newer_release_is_left_to_it(put, mailoutbox):
    Outbox.objects.create(
        kind="of_tomorrow", email="a@example.com", language="en", created_at="2026-01-01T00:00Z", next_try_at="2026-01-01T00:00Z"
    )

    assert outbox.deliver() == 0
    assert Outbox.objects.count() == 1


def test_a_kind_that_there_is_not_cannot_be_put(put):
    with pytest.raises(KeyError):
        put("emial_change")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", outbox.KINDS)
def test_every_mail_has_a_subject_of_one_line_and_says_the_same_in_html(put, mailoutbox, make_user, kind, language):
    put(kind, user=make_user("bob&<b>"), language=language)

    outbox.deliver()

    [sent] = mailoutbox
    [(html, html_type)] = sent.alternatives
    assert 10 < len(sent.subject) < 60
    assert html_type == "text/html"
    for text in (sent.subject, sent.body, html):
        assert "{{" not in text
        assert "{%" not in text
    assert f'lang="{language}"' in html
    assert "&amp;" not in sent.body
    assert "<b>" not in html
    carries_code = bool(outbox.KINDS[kind].purpose)
    assert OneTimeToken.objects.exists() is carries_code
    assert ("#" in sent.body) is carries_code
    # A mailbox that somebody else may have named is told nothing that the asker wrote.
    assert ("bob" in f"{sent.body}{html}") is (
        kind not in {"email_change", "registration"}
    )  # which go to an address that nobody has proved


# --- Several processes ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_several_processes_each_mail_is_sent_by_one(put, smtp):
    for number in range(12):
        put("email_taken", email=f"a{number}@example.com")

    sent = at_once(*[outbox.deliver] * 4)

    assert sum(sent) == 12
    assert sorted(mail["To"] for mail in smtp.mails) == sorted(f"a{number}@example.com" for number in range(12))
    assert Outbox.objects.count() == 0


def test_what_a_process_claimed_and_left_is_sent_by_another_later(put, mailoutbox, later):
    put()
    [row] = Outbox.objects.all()
    assert outbox._claim(outbox.Due(row.pk, row.kind, 0, is_too_old=False))

    assert outbox.deliver() == 0
    later(minutes=2, seconds=1)
    assert outbox.deliver() == 1


def test_a_mail_that_was_withdrawn_after_its_claim_is_not_sent(put, mailoutbox, alice):
    put()
    [row] = Outbox.objects.all()
    due = outbox.Due(row.pk, row.kind, 0, is_too_old=False)
    assert outbox._claim(due)

    outbox.withdraw(alice)

    assert outbox._is_sent(due) is False
    assert (mailoutbox, OneTimeToken.objects.count()) == ([], 0)


@pytest.mark.django_db(transaction=True)
def test_of_a_delivery_and_another_password_at_once_no_code_is_left(put, mailoutbox, alice):
    for round_number in range(10):
        put()

        def change(number=round_number):
            user = User.objects.get(pk=alice.pk)
            user.set_password(f"horse battery {number}")
            passwords.store(user)

        at_once(outbox.deliver, change, outbox.deliver)

        assert (Outbox.objects.count(), OneTimeToken.objects.count()) == (0, 0)


# --- The thread ----------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [OperationalError("gone"), RuntimeError("a bug")])
def test_the_thread_outlives_whatever_happens(monkeypatch, caplog, db, failure):
    def fail():
        raise failure

    monkeypatch.setattr(outbox, "deliver", fail)

    outbox._deliver_or_report()

    assert "the outbox" in caplog.text


def test_without_a_mail_server_there_is_no_thread(settings, monkeypatch):
    settings.EMAIL_URL = ""
    monkeypatch.setattr(outbox.threading, "Thread", None)

    outbox.poll()

    assert not outbox.is_set_up()


# --- The setting ---------------------------------------------------------------------------------


def start(**variables):
    """What a server's settings for mail are, or the line that its start ended with."""
    program = (
        "from authserver import settings as s\n"
        "print(s.EMAIL_BACKEND.split('.')[-2], getattr(s, 'EMAIL_HOST', ''), getattr(s, 'EMAIL_PORT', ''), getattr(s, 'EMAIL_USE_TLS', ''),"
        " getattr(s, 'EMAIL_USE_SSL', ''), s.EMAIL_TIMEOUT, s.DEFAULT_FROM_EMAIL)"
    )
    environment = {"PATH": os.environ["PATH"], "AUTH_SERVICE__ENV_FILE": "", "ENVIRONMENT": "development"} | variables
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()


def test_the_url_becomes_the_settings_of_mail(tmp_path):
    folder = {"AUTH_SERVICE__DATA_DIR": str(tmp_path)}

    assert start(**folder).startswith("console ")
    assert start(AUTH_SERVICE__EMAIL_URL="submission://u:p@mail.example.com", **folder) == (
        "smtp mail.example.com 587 True  10 no-reply@localhost"
    )
    assert (
        start(AUTH_SERVICE__EMAIL_URL="smtps://u:p@mail.example.com?_default_from_email=auth@example.com&timeout=3", **folder)
        == "smtp mail.example.com 465 False True 3 auth@example.com"
    )


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com",
        "http://mail.example.com",
        "smtp://user:s3cret@mail.example.com:port",
        "smtp://user:s3cret@mail.example.com?tsl=true",
        "smtp://user:s3cret@mail.example.com?tls=maybe",
        "smtp://user:s3cret@mail.example.com?timeout=soon",
        "smtp://user:s3cret/1@mail.example.com",
        "smtp://user:s3cret#1@mail.example.com",
        "smtp://mail.example.com?_default_from_email=a%0Ab@example.com",
        "smtp://[mail.example.com",
        "file:",
    ],
)
def test_a_url_that_does_not_parse_stops_the_start_with_one_line_that_does_not_quote_it(url, tmp_path):
    line = start(AUTH_SERVICE__EMAIL_URL=url, AUTH_SERVICE__DATA_DIR=str(tmp_path))

    assert line.startswith("authserver: AUTH_SERVICE__EMAIL_URL must look like submission://")
    assert "\n" not in line
    assert "s3cret" not in line
