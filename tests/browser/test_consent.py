"""An app sends somebody here, they sign in and allow it, and the browser takes them back."""

import http.server
import threading
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import settings as django_settings
from django.test import Client as Browser

from oauth.models import AuthorizationCode, Client
from tests.browser.conftest import LOOKS, follow
from tests.browsers import Verifier, request_of, sign_in
from tests.conftest import PASSWORD

pytestmark = pytest.mark.checklist(117)
TEXTS = {"en": {"allow": "Allow", "title": "Portal asks for access"}, "ru": {"allow": "Разрешить", "title": "Portal просит доступ"}}
PAGE = b"<!doctype html><html lang=en><title>Portal</title><link rel=icon href='data:,'><h1>Back at the portal</h1>"


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *args):
        """It is quiet."""


@pytest.fixture
def app():
    """The address of an app on this machine: another origin than the server's."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/cb"
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(app, make_client, signing_key):
    """The address that the app sends its users to."""
    client = make_client(
        "portal",
        is_public=False,
        grant_types=("authorization_code",),
        allowed_scopes="openid profile email api:read",
        default_scopes="api:read",
        redirect_uris=app,
    ).client
    return lambda **changes: f"/oauth/authorize?{urlencode(request_of(client, Verifier(), redirect_uri=app, **changes))}"


@pytest.fixture
def signed_in_as(open_window):
    def open_one(user, **how):
        window, browser = open_window(**how), Browser()
        sign_in(browser, user)
        name = django_settings.SESSION_COOKIE_NAME
        window.page.context.add_cookies([{"name": name, "value": browser.cookies[name].value, "url": window.base_url}])
        return window

    return open_one


def told(window):
    return {name: values[0] for name, values in parse_qs(urlsplit(window.page.url).query).items()}


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_who_allows_it_is_back_at_the_app(signed_in_as, alice, app, ask, width, theme, language):
    window = signed_in_as(alice, width=width, theme=theme, language=language)

    window.go(ask(scope="openid profile email api:read"))
    assert window.title == TEXTS[language]["title"]
    window.ensure_accessible()
    window.ensure_fits()
    window.click(TEXTS[language]["allow"])

    window.page.wait_for_url(f"{app}?**")
    assert window.title == "Back at the portal"
    assert told(window).keys() == {"code", "state", "iss"}


def test_who_denies_it_is_back_as_well(signed_in_as, alice, app, ask):
    window = signed_in_as(alice)

    window.go(ask())
    window.click("Deny")

    window.page.wait_for_url(f"{app}?**")
    assert told(window)["error"] == "access_denied"
    assert not AuthorizationCode.objects.exists()


@pytest.mark.parametrize("is_first_party", [True, False])
def test_from_the_app_through_the_sign_in_and_back(open_window, alice, app, ask, is_first_party):
    Client.objects.update(skip_authorization=is_first_party)
    window = open_window(width="phone")

    window.go(ask(login_hint="alice"))
    assert window.page.get_by_label("User name or e-mail").input_value() == "alice"
    window.page.get_by_label("Password").fill(PASSWORD)
    window.click("Sign in", exact=True)
    if not is_first_party:
        window.click("Allow")

    window.page.wait_for_url(f"{app}?**")
    assert "code" in told(window)


def test_without_scripts_it_works_as_well(browser, site, alice, app, ask):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()

    page.goto(f"{site.url}{ask()}")
    page.get_by_label("User name or e-mail").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    follow(page, "Sign in", exact=True)
    follow(page, "Allow")

    page.wait_for_url(f"{app}?**")
    context.close()


def test_somebody_else_can_take_over(signed_in_as, alice, bob, app, ask):
    window = signed_in_as(alice)

    window.go(ask())
    window.click("Use another account")
    window.page.get_by_label("User name or e-mail").fill("bob")
    window.page.get_by_label("Password").fill(PASSWORD)
    window.click("Sign in", exact=True)
    window.click("Allow")

    window.page.wait_for_url(f"{app}?**")
    assert AuthorizationCode.objects.get().user == bob


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_what_cannot_go_on_is_said_on_a_page(open_window, ask, width, theme, language):
    window = open_window(width=width, theme=theme, language=language)
    window.complaints = _Expecting("400")

    window.go(ask(client_id="nobody"))

    assert window.title == {"en": "This cannot go on", "ru": "Продолжить нельзя"}[language]
    window.ensure_accessible()
    window.ensure_fits()


class _Expecting(list):
    """Chromium tells of the page's own status in its console."""

    def __init__(self, status):
        super().__init__()
        self.status = status

    def append(self, complaint):
        if self.status not in complaint:
            super().append(complaint)
