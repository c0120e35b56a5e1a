"""What pages pass, machines do not: no language, and nothing of allauth (authserver/page_middleware.py)."""

import pytest

from authserver.page_middleware import is_page

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
