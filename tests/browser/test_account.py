"""People keep their own account: on a desk or a telephone, in the light or the dark, in English or Russian, with scripts or without."""

import pytest
from django.conf import settings as django_settings
from django.test import Client as Browser

from accounts import clock
from accounts.models import User
from oauth import consents, sessions
from oauth.models import Consent, Session
from oauth.session_rows import Origin
from tests.browser.conftest import LOOKS, follow
from tests.browsers import sign_in
from tests.conftest import PASSWORD

PAGES = [
    "/account",
    "/account/email",
    "/account/password",
    "/account/sessions",
    "/account/sessions/end-others",
    "/account/apps",
    "/account/security",
]
PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Mobile Safari/537.36"


@pytest.fixture
def portal(make_client):
    return make_client(
        "portal", name="Portal of the reading room", allowed_scopes="openid email api:read", default_scopes="api:read"
    ).client


@pytest.fixture
def session(alice, portal):
    """Alice is signed in to the portal on her telephone, and has let it read her data."""
    consents.give(alice, client=portal, scope="openid email api:read", actor={"actor_id": alice.pk, "address": None, "user_agent": ""})
    issued, row = sessions.new(
        alice,
        role_names=(),
        client=portal,
        scope="api:read",
        amr="pwd",
        origin=Origin("2001:db8:85a3:8d3:1319:8a2e:370:7348", PHONE),
        auth_time=clock.now(),
    )
    row.execute()
    return Session.objects.get(pk=issued.claims.sid)


@pytest.fixture
def signed_in_as(open_window):
    def open_one(user, **how):
        window, browser = open_window(**how), Browser()
        sign_in(browser, user)
        name = django_settings.SESSION_COOKIE_NAME
        window.page.context.add_cookies([{"name": name, "value": browser.cookies[name].value, "url": window.base_url}])
        return window

    return open_one


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_every_page_fits_and_can_be_read(signed_in_as, alice, session, settings, width, theme, language):
    settings.EMAIL_URL = "console:"
    window = signed_in_as(alice, width=width, theme=theme, language=language)

    for path in [*PAGES, f"/account/apps/{Consent.objects.get().pk}/disconnect"]:
        window.go(path)

        assert window.path == path
        window.ensure_accessible()
        window.ensure_fits()


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_who_has_no_account_makes_one_where_that_is_open(open_window, settings, width, theme, language):
    settings.REGISTRATION = "open"
    window = open_window(width=width, theme=theme, language=language)

    window.go("/register")

    window.ensure_accessible()
    window.ensure_fits()


@pytest.mark.parametrize("path", ["/sign-in", "/password-reset"])
@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_who_is_not_signed_in_can_read_the_way_in(open_window, path, width, theme, language):
    window = open_window(width=width, theme=theme, language=language)

    window.go(path)

    window.ensure_accessible()
    window.ensure_fits()


def test_a_session_is_ended_and_an_app_disconnected(signed_in_as, alice, session):
    window = signed_in_as(alice, width="phone")
    window.go("/account/sessions")
    window.click("End")
    assert window.page.get_by_text("The session has ended.").is_visible()
    assert Session.objects.get().revoked_at is not None

    window.go("/account/apps")
    window.click("Disconnect…")
    window.click("Disconnect")

    assert window.page.get_by_text("Portal of the reading room is disconnected.").is_visible()
    assert not Consent.objects.exists()


def test_without_scripts_people_sign_in_change_their_name_and_sign_out(browser, site, alice):
    context = browser.new_context(java_script_enabled=False, locale="en")
    page = context.new_page()
    page.goto(f"{site.url}/account")
    page.get_by_label("User name or e-mail").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    follow(page, "Sign in", exact=True)
    page.wait_for_url(f"{site.url}/account")

    page.get_by_label("Your name").fill("Alice of the reading room")
    follow(page, "Save the name")
    assert page.get_by_text("Your name was changed.").is_visible()
    follow(page, "Sign out")
    if page.url.endswith("/sign-out"):
        follow(page, "Sign out")
    page.goto(f"{site.url}/account")

    assert "/sign-in" in page.url
    assert User.objects.get(pk=alice.pk).name == "Alice of the reading room"
    context.close()
