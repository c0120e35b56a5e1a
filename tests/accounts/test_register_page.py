"""The page on which somebody makes an account (accounts/register_page.py)."""

import re
from datetime import timedelta

import pytest
from django.test import Client as Browser

from accounts.models import Outbox, User
from authserver.env import Rate
from tests import secrecy
from tests.staff import send_password, token_in

pytestmark = pytest.mark.django_db

PASSWORD = "a long walk by the sea"
FORM = {"username": "carol", "email": "carol@example.com", "name": "Carol", "password": PASSWORD, "again": PASSWORD}


@pytest.fixture(autouse=True)
def _open(settings):
    settings.REGISTRATION = "open"
    secrecy.remember("a user's password", PASSWORD)


@pytest.fixture
def browser():
    return Browser(enforce_csrf_checks=True)


def send(browser, **changes):
    return browser.post("/register", FORM | changes | {"csrfmiddlewaretoken": token_in(browser.get("/register"))})


def test_somebody_makes_an_account_and_confirms_it_by_mail(browser):
    answer = send(browser)

    assert (answer.status_code, "carol@example.com" in answer.content.decode()) == (200, True)
    carol = User.objects.get(username="carol")
    assert (carol.awaits_confirmation, carol.name, carol.email) == (True, "Carol", "")
    assert Outbox.objects.get().kind == "registration"
    assert send_password(browser, "carol", PASSWORD).status_code == 200  # not before it is confirmed


def test_whose_address_it_is_is_not_told(alice, browser):
    ours, theirs = send(browser), send(browser, username="dave", email="alice@example.com")

    texts = [re.sub(r'(csrfmiddlewaretoken" value=)"\w+"', r"\1", answer.content.decode()) for answer in (ours, theirs)]
    assert texts[0] == texts[1].replace("alice@example.com", "carol@example.com")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": "ALICE"}, "username"),
        ({"username": "a b"}, "username"),
        ({"username": "a@b"}, "username"),
        ({"username": "a\x00b"}, "username"),
        ({"username": ""}, "username"),
        ({"email": "nowhere"}, "email"),
        ({"password": "short", "again": "short"}, "password"),
        ({"password": "carol@example.com", "again": "carol@example.com"}, "password"),
        ({"again": "another"}, "again"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(alice, browser, changes, field):
    answer = send(browser, **changes)

    assert [*answer.context["form"].errors] == [field]
    assert PASSWORD not in answer.content.decode()
    assert not User.objects.filter(awaits_confirmation=True).exists()


def test_one_address_makes_a_few_accounts(browser, settings):
    settings.RATE_LIMIT_FAILURES_PER_IP = Rate(1, timedelta(hours=1))
    send(browser)

    assert [*send(browser, username="dave").context["form"].errors] == ["__all__"]
    assert User.objects.count() == 1


@pytest.mark.parametrize("change", [{"REGISTRATION": "closed"}, {"EMAIL_URL": ""}])
def test_where_it_is_closed_there_is_no_page_and_no_link_to_it(client, settings, change):
    assert 'href="/register"' in client.get("/sign-in").content.decode()
    for name, value in change.items():
        setattr(settings, name, value)

    assert client.get("/register").status_code == client.post("/register", FORM).status_code == 404
    assert 'href="/register"' not in client.get("/sign-in").content.decode()
