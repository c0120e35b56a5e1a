"""What pages pass, machines do not: no language, and nothing of allauth (authserver/page_middleware.py)."""

import re

import pytest
from django.db import DatabaseError, connection
from django.test import Client as Browser

from authserver.middleware import is_page
from tests.staff import let_in

MACHINES = ["/oauth/token", "/oauth/verify", "/.well-known/jwks.json", "/api/v1/me", "/api/openapi.json", "/health", "/live"]
PAGES = ["/", "/sign-in", "/password-reset", "/confirm-email", "/api/docs", "/nothing-here"]


@pytest.mark.parametrize("path", MACHINES)
def test_machines_pass_by(client, signing_key, path):
    response = client.get(path, headers={"accept-language": "ru"})

    assert not is_page(response.wsgi_request)
    assert not response.has_header("Content-Language")
    assert not hasattr(response.wsgi_request, "allauth")


@pytest.mark.parametrize("path", PAGES)
def test_pages_speak_the_readers_language(client, db, path):
    response = client.get(path, headers={"accept-language": "ru,en;q=0.5", "accept": "text/html"})

    assert response["Content-Language"] == "ru"
    assert '<html lang="ru"' in response.content.decode()
    assert "Accept-Language" in response["Vary"]


def test_the_language_of_a_page_is_not_that_of_the_next_machine(client, db):
    def ask():
        return client.post("/api/v1/password-reset/request", {}, content_type="application/json").json()["error_description"]

    before = ask()
    client.get("/sign-in", headers={"accept-language": "ru"})

    assert ask() == before


def test_a_person_who_mistyped_an_address_gets_a_page_and_a_machine_gets_json(client, db):
    person, machine = client.get("/nothing", headers={"accept": "text/html"}), client.get("/nothing")

    assert (person.status_code, person["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert (machine.status_code, machine.json()["error"]) == (404, "not_found")


def test_the_chosen_language_is_kept_for_this_browser(client, db):
    client.post("/language", {"language": "ru", "next": "/sign-in"})

    assert '<html lang="ru"' in client.get("/sign-in", headers={"accept-language": "en"}).content.decode()
    assert '<html lang="ru"' in client.get("/password-reset", headers={"accept-language": "en"}).content.decode()


@pytest.mark.parametrize(
    ("cookie", "shown"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"'), ("<b>", "data-theme-cookie")]
)
def test_the_chosen_theme_stands_in_the_page(client, db, settings, cookie, shown):
    client.cookies[settings.THEME_COOKIE_NAME] = cookie

    page = client.get("/sign-in").content.decode()

    assert shown in page
    assert "<b>" not in page


def test_a_failure_is_a_page_for_a_person_whatever_has_failed(make_user):
    browser = Browser(raise_request_exception=False)
    let_in(browser, make_user("root", is_staff=True, is_superuser=True))

    def fail(*_):
        raise DatabaseError("made up")

    with connection.execute_wrapper(fail):
        person = browser.get("/admin/", headers={"accept": "text/html", "accept-language": "ru"})
        program = browser.get("/admin/")

    assert (person.status_code, program.status_code) == (500, 500)
    assert "Что-то пошло не так" in person.content.decode()
    assert re.search(r"<code id=\"copy-[0-9a-f]{16}\">", person.content.decode())
    assert program.json()["error"] == "server_error"


def test_who_may_not_see_a_page_is_told_so(make_user):
    browser = Browser()
    let_in(browser, make_user("bare", is_staff=True))

    page = browser.get("/admin/oauth/client/")

    assert page.status_code == 403
    assert "This page is not for you" in page.content.decode()
