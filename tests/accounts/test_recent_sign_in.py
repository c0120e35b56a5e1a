"""The gate before dangerous acts, held at one that exists: actions on the list of users (accounts/recent_sign_in.py)."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import path

from accounts import clock
from accounts.recent_sign_in import requires_recent_sign_in
from accounts.sign_in_views import CodeAgain, PasswordAgain
from tests.conftest import PASSWORD
from tests.staff import code_of, enrol, let_in, token_in

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.checklist(104)]


@requires_recent_sign_in
def act(request):
    """Says what it was sent."""
    return HttpResponse(f"{request.method} {sorted(request.POST.items())}")


urlpatterns = [
    path("act", act),
    path("sign-in/again", PasswordAgain.as_view(), name="account_reauthenticate"),
    path("sign-in/code/again", CodeAgain.as_view(), name="mfa_reauthenticate"),
]
for _name in ("account_login", "account_logout", "mfa_reauthenticate_webauthn", "password_reset"):
    urlpatterns.append(path(f"elsewhere/{_name}", act, name=_name))
urlpatterns.append(path("language", act, name="set_language"))


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


def browser_of(root, *, minutes):
    browser = Browser()
    let_in(browser, root, ago=timedelta(minutes=minutes))
    return browser


@pytest.fixture
def alices(alice):
    """A browser in which alice, who has no second factor, signed in by her password so many minutes ago."""

    def open_one(*, minutes):
        browser = Browser()
        browser.force_login(alice, backend="accounts.authentication.Backend")
        give_record(browser, alice, minutes=minutes, method="password")
        return browser

    return open_one


def give_record(browser, user, *, minutes, **record):
    session = browser.session
    at = (clock.now() - timedelta(minutes=minutes)).timestamp()
    session["account_authentication_methods"] = [*session.get("account_authentication_methods", ()), record | {"at": at}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def prove(browser, answer, **proof):
    """Give the proof on the page that the answer leads to, with whatever steps between."""
    page = browser.get(answer["Location"], follow=True)
    path = page.request["PATH_INFO"]
    form = proof | {"csrfmiddlewaretoken": token_in(page)}
    form |= {name: values[0] for name, values in parse_qs(urlsplit(answer["Location"]).query).items()}
    return browser.post(path, form)


def test_soon_after_the_sign_in_nothing_is_asked(root):
    browser = browser_of(root, minutes=9)

    assert browser.get("/act").content == b"GET []"
    assert browser.post("/act", {"reason": "x"}).content == b"POST [('reason', 'x')]"


def test_a_page_is_asked_for_while_there_is_time_to_fill_it_in(root):
    browser = browser_of(root, minutes=11)

    assert browser.get("/act")["Location"] == "/sign-in/again?next=%2Fact"
    assert browser.post("/act", {"reason": "x"}).status_code == 200


def test_after_a_quarter_of_an_hour_nothing_is_done(root):
    assert browser_of(root, minutes=16).post("/act", {"reason": "x"})["Location"] == "/sign-in/again?next=%2Fact"


def test_what_was_typed_comes_back_unconfirmed_and_without_secrets(root):
    browser = browser_of(root, minutes=16)
    sent = {"reason": "leaked", "confirmed": "True", "new_password": PASSWORD, "client_secret": "s3cret"}

    again = prove(browser, browser.post("/act", sent), code=code_of(root))

    assert again.content == b"POST [('reason', 'leaked')]"


def test_no_secret_waits_in_the_session(root):
    browser = browser_of(root, minutes=16)

    browser.post("/act", {"reason": "leaked", "new_password": "another horse battery"})

    assert "another horse battery" not in str([*browser.session.items()])
    assert "HTTP_COOKIE" not in str([*browser.session.items()])


def test_a_wrong_password_leads_nowhere(alices):
    browser = alices(minutes=16)

    answer = prove(browser, browser.post("/act", {"reason": "x"}), password="wrong")

    assert answer.status_code == 200
    assert browser.post("/act", {"reason": "x"}).status_code == 302


def test_who_has_no_second_factor_proves_themselves_by_the_password(alices):
    browser = alices(minutes=16)

    answer = prove(browser, browser.post("/act", {"reason": "x"}), password=PASSWORD)

    assert answer.content == b"POST [('reason', 'x')]"


def test_who_has_a_second_factor_is_asked_for_it_and_not_for_the_password(root):
    browser = browser_of(root, minutes=16)
    location = browser.post("/act", {"reason": "x"})["Location"]

    asked = browser.get(location)
    by_password = browser.post("/sign-in/again", {"password": PASSWORD, "next": "/act"})

    assert asked["Location"] == "/sign-in/code/again?next=%2Fact"
    assert by_password["Location"].startswith("/sign-in/code/again")
    assert browser.post("/act", {"reason": "x"}).status_code == 302


def test_a_password_of_a_moment_ago_is_no_proof_of_who_has_a_second_factor(root):
    browser = browser_of(root, minutes=16)
    give_record(browser, root, minutes=0, method="password", reauthenticated=True)

    assert browser.post("/act", {"reason": "x"}).status_code == 302


def test_a_second_factor_that_was_enrolled_elsewhere_is_asked_for(alices, alice):
    browser = alices(minutes=1)
    assert browser.post("/act", {"reason": "x"}).status_code == 200

    enrol(alice)

    assert browser.post("/act", {"reason": "x"}).status_code == 302


def test_nobody_at_all_is_sent_away(client):
    assert client.get("/act").status_code == 302
    assert clock.offset == clock.NONE
