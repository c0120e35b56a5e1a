"""A change of the e-mail address, from the app to the mail server and back, against a real server and a real connection."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.accounts.smtp import MailServer, code_of, mail_server, text_of

PATIENCE_SECONDS = 20


@pytest.fixture(scope="module")
def smtp() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def mailing_http(start_server, smtp) -> Iterator[httpx.Client]:
    server = start_server(AUTH_SERVICE__EMAIL_URL=f"smtp://127.0.0.1:{smtp.port}", AUTH_SERVICE__REQUIRE_HTTPS="false")
    with httpx.Client(base_url=server.base_url, timeout=20) as client:
        yield client


@pytest.fixture
def account(mailing_http):
    """Headers with a token that may change the account of the demo's second user."""
    form = {
        "grant_type": "password",
        "client_id": "test-client",
        "username": "test",
        "password": "test123",
        "scope": "api:read auth:account",
    }
    answer = mailing_http.post("/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def next_mail(smtp, *, to, subject="Confirm your e-mail address"):
    """Wait for the mail to this address."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = [mail for mail in smtp.mails if (mail["To"], mail["Subject"]) == (to, subject)]
        if found:
            return found[-1]
        time.sleep(0.1)
    raise AssertionError(f"no such mail to {to} within {PATIENCE_SECONDS} seconds")


def ask(http, account, email):
    answer = http.post("/api/v1/me/email", json={"current_password": "test123", "email": email}, headers=account)
    assert (answer.status_code, answer.json()) == (202, {"status": "confirmation_sent"})


def test_an_address_is_changed_over_the_api_and_the_old_one_is_told(mailing_http, account, smtp):
    old = mailing_http.get("/api/v1/me", headers=account).json()["email"]

    ask(mailing_http, account, "by.api@example.com")
    code = code_of(next_mail(smtp, to="by.api@example.com"))
    answers = [mailing_http.post("/api/v1/confirm-email", json={"token": code}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 400]
    assert mailing_http.get("/api/v1/me", headers=account).json()["email"] == "by.api@example.com"
    assert "another e-mail address now" in text_of(next_mail(smtp, to=old, subject="Your e-mail address was changed"))


def test_an_address_is_changed_on_the_page_of_the_mail(mailing_http, account, smtp):
    ask(mailing_http, account, "by.page@example.com")
    mail = next_mail(smtp, to="by.page@example.com")

    page = mailing_http.get("/confirm-email")
    [script] = re.findall(r'<script src="([^"]+confirm_email[^"]+)"', page.text)
    [csrf, *_] = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    done = mailing_http.post("/confirm-email", data={"csrfmiddlewaretoken": csrf, "code": code_of(mail)})

    assert mailing_http.get(script).headers["Content-Type"].startswith("text/javascript")
    assert (done.status_code, "Your account has the new e-mail address" in done.text) == (200, True)
    assert mailing_http.get("/api/v1/me", headers=account).json()["email"] == "by.page@example.com"


def test_the_owner_of_an_address_is_told_who_wanted_it_is_not(mailing_http, account, smtp):
    ask(mailing_http, account, "user@example.com")

    text = text_of(next_mail(smtp, to="user@example.com", subject="Your e-mail address is in use already"))
    assert "your account user, so nothing has changed" in text
    assert "test" not in text
