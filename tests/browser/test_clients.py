"""The pages of clients in a browser: a secret is rotated and copied, a client registered, and how the pages look to whom."""

import pytest

from oauth.models import Client, Session
from tests.browser.conftest import LOOKS


def test_a_secret_is_rotated_and_copied(robot, page_as):
    window = page_as("owner")
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.go(f"/admin/oauth/client/{robot.client.pk}/change/")

    window.click("Rotate secret…")
    window.page.get_by_label("stops now").check()
    window.page.get_by_label("Reason").fill("it leaked")
    window.click("Rotate the secret")

    secret = window.page.locator("#secret").input_value()
    assert len(secret) > 40
    assert secret not in window.page.url
    window.ensure_fits()
    window.ensure_accessible()
    window.page.locator('[data-copy="secret"]').click()
    assert window.page.evaluate("navigator.clipboard.readText()") == secret
    window.click("I have stored it")
    assert window.path == f"/admin/oauth/client/{robot.client.pk}/change/"


def test_a_client_is_registered(page_as):
    window = page_as("owner")
    page = window.go("/admin/oauth/client/")

    window.click("Register a client")
    page.get_by_label("client_id").fill("billing")
    page.get_by_label("Confidential").check()
    page.get_by_label("Allowed scopes").fill("api:read")
    window.click("Register")

    page.locator("#secret").wait_for()
    assert Client.objects.get(client_id="billing").grant_types == ["client_credentials"]


def test_all_sessions_of_a_client_end_in_two_clicks_from_its_page(editor, signed_in, page_as):
    window = page_as("owner")
    page = window.go(f"/admin/oauth/client/{editor.pk}/change/")

    window.click("End all its sessions…")
    assert "1 session ends." in page.locator(".consequences").inner_text()
    page.get_by_label("Reason").fill("an incident")
    window.click("End all its sessions")

    page.get_by_text("Ended: 1 session.").wait_for()
    assert not Session.objects.live().exists()


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_the_pages_of_clients_are_accessible_and_fit(editor, robot, signed_in, page_as, width, theme, language):
    window = page_as("owner", width=width, theme=theme, language=language)
    acts = (f"{editor.pk}/disable/", f"{editor.pk}/end-sessions/", f"{robot.client.pk}/rotate-secret/", "end-everything/")

    for path in ("", "add/", f"{editor.pk}/change/", f"{robot.client.pk}/change/", *acts):
        window.go(f"/admin/oauth/client/{path}")
        assert window.page.locator("html").get_attribute("lang") == language
        window.ensure_fits()
        window.ensure_accessible()
