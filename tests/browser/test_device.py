"""A person lets a device in: on a desk or a telephone, in the light or the dark, in English or Russian, with scripts or without."""

import pytest
from django.conf import settings as django_settings
from django.test import Client

from oauth import device_codes
from oauth.models import DEVICE_CODE, DeviceCode
from oauth.session_rows import Origin
from tests.browser.conftest import LOOKS
from tests.staff import let_in

pytestmark = pytest.mark.checklist(118)
TEXTS = {
    "en": {"field": "Code that your device shows", "go_on": "Go on", "approve": "Let it in", "deny": "Deny"},
    "ru": {"field": "Код с экрана устройства", "go_on": "Продолжить", "approve": "Впустить", "deny": "Отказать"},
}


@pytest.fixture
def codes(make_client):
    client = make_client("console", name="Console of the build machine", grant_types=(DEVICE_CODE,)).client
    return device_codes.make(client, scope="api:read api:write", origin=Origin("2001:db8:85a3:8d3:1319:8a2e:370:7348", "console/1.0 " * 12))


@pytest.fixture
def sign_in(alice):
    """Alice is signed in to a Window, as if by password and app."""

    def give(context, url):
        client, name = Client(), django_settings.SESSION_COOKIE_NAME
        let_in(client, alice)
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": url}])

    return give


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_a_device_is_let_in(open_window, sign_in, codes, width, theme, language):
    window, texts = open_window(width=width, theme=theme, language=language), TEXTS[language]
    sign_in(window.page.context, window.base_url)

    window.go("/oauth/device")
    window.ensure_accessible()
    window.ensure_fits()
    window.page.get_by_label(texts["field"]).fill(codes.user_code.lower().replace("-", " "))
    window.click(texts["go_on"])
    assert window.page.get_by_text(codes.user_code).is_visible()
    assert window.page.get_by_text("Console of the build machine").is_visible()
    window.ensure_accessible()
    window.ensure_fits()
    window.click(texts["approve"])

    window.page.get_by_role("status").first.wait_for()
    window.ensure_accessible()
    window.ensure_fits()
    assert DeviceCode.objects.get().decision == "approved"


def test_a_link_with_the_code_leads_through_the_sign_in_and_decides_nothing(open_window, sign_in, codes):
    window = open_window(width="phone")
    window.go(f"/oauth/device?user_code={codes.user_code}")
    assert window.path == f"/sign-in?next=/oauth/device%3Fuser_code%3D{codes.user_code}"
    sign_in(window.page.context, window.base_url)

    window.go(f"/oauth/device?user_code={codes.user_code}")
    assert window.page.get_by_label("Code that your device shows").input_value() == codes.user_code
    window.click("Go on")
    assert DeviceCode.objects.get().decision == "pending"
    window.click("Deny")

    assert window.title == "The device was turned away"
    assert DeviceCode.objects.get().decision == "denied"


def test_a_code_that_is_wrong_is_told_where_it_was_typed(open_window, sign_in, codes):
    window = open_window(width="phone", language="en")
    sign_in(window.page.context, window.base_url)

    window.go("/oauth/device")
    window.page.get_by_label("Code that your device shows").fill("BBBB-BBBB")
    window.click("Go on")

    assert window.page.get_by_role("alert").inner_text().startswith("No device is waiting under this code.")
    assert window.page.get_by_label("Code that your device shows").input_value() == "BBBB-BBBB"
    window.ensure_accessible()
    window.complaints.clear()  # the console names every answer that is no 200


def test_a_device_is_let_in_without_scripts_and_by_the_keyboard_alone(browser, site, sign_in, codes):
    context = browser.new_context(java_script_enabled=False)
    sign_in(context, site.url)
    page = context.new_page()
    page.goto(f"{site.url}/oauth/device?user_code={codes.user_code}")
    page.get_by_label("Code that your device shows").press("Enter")
    page.get_by_role("button", name="Let it in").focus()
    page.keyboard.press("Enter")
    page.get_by_text("You can close this page").wait_for()
    context.close()

    assert DeviceCode.objects.get().decision == "approved"
