"""The admin's cookie, and what of it is stored."""

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session
from django.test import Client as Browser

from accounts.models import User
from tests.conftest import PASSWORD
from tests.staff import log_in


@pytest.fixture
def signed_in_browser(db):
    User.objects.create_superuser("root", password=PASSWORD)
    browser = Browser()
    assert log_in(browser, "root").status_code == 302
    assert browser.get("/admin/").status_code == 200
    return browser


def cookie_of(browser, settings):
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.checklist(78)
def test_what_is_stored_is_no_cookie(signed_in_browser, settings):
    [stored] = Session.objects.all()
    thief = Browser()
    thief.cookies[settings.SESSION_COOKIE_NAME] = stored.session_key

    assert stored.session_key != cookie_of(signed_in_browser, settings)
    assert thief.get("/admin/").status_code == 302


@pytest.mark.checklist(100)
def test_the_key_changes_at_sign_in_and_a_planted_one_is_not_taken(db, settings):
    User.objects.create_superuser("root", password=PASSWORD)
    browser = Browser()
    browser.cookies[settings.SESSION_COOKIE_NAME] = "planted-by-mallory-planted-by-mallory"

    log_in(browser, "root")

    assert cookie_of(browser, settings) != "planted-by-mallory-planted-by-mallory"
    assert browser.get("/admin/").status_code == 200


@pytest.mark.checklist(100)
def test_signing_out_ends_the_session_on_the_server(signed_in_browser, settings):
    cookie = cookie_of(signed_in_browser, settings)
    signed_in_browser.post("/admin/logout/")
    thief = Browser()
    thief.cookies[settings.SESSION_COOKIE_NAME] = cookie

    assert thief.get("/admin/").status_code == 302
    assert Session.objects.count() == 0


def test_a_raised_epoch_ends_the_browsers_session(signed_in_browser):
    User.objects.update(session_epoch=9)

    assert signed_in_browser.get("/admin/").status_code == 302


def test_staff_whose_hash_is_renewed_at_sign_in_stay_signed_in(db):
    User.objects.create_superuser("root", password=PASSWORD)
    User.objects.update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    browser = Browser()

    assert log_in(browser, "root").status_code == 302

    assert not User.objects.get().password.startswith("pbkdf2_sha256")
    assert browser.get("/admin/").status_code == 200


@pytest.mark.checklist(100)
def test_a_session_ends_when_nobody_uses_it(signed_in_browser, later, settings):
    later(seconds=settings.BROWSER_SESSION_IDLE.total_seconds() + 1)

    assert signed_in_browser.get("/admin/").status_code == 302


@pytest.mark.checklist(100)
def test_a_session_that_is_used_goes_on_until_it_is_old(signed_in_browser, later, settings):
    settings.BROWSER_SESSION_MAX_AGE = timedelta(hours=3)

    answers = []
    for _ in range(5):
        later(minutes=50)
        answers.append(signed_in_browser.get("/admin/").status_code)

    assert answers == [200, 200, 200, 302, 302]


def test_a_session_in_use_is_written_once_a_minute_at_most(signed_in_browser, later, count_statements):
    def writes():
        with count_statements() as statements:
            signed_in_browser.get("/admin/")
        return [query["sql"] for query in statements.captured_queries if query["sql"].startswith("UPDATE")]

    later(minutes=2)
    assert len(writes()) == 1
    assert writes() == []
