"""Acts on many rows of a list, in a browser: ticked, asked about once, done; and how that page looks."""

import pytest

from accounts.models import User
from oauth.models import Client, Session
from tests.browser.conftest import LOOKS


def choose(page, *names, action):
    """Tick the rows of these names, and go on with this action."""
    for name in names:
        page.locator("#result_list tbody tr").filter(has=page.get_by_role("link", name=name, exact=True)).locator(
            ".action-checkbox input"
        ).check()
    page.locator("select[name=action]").select_option(action)
    with page.expect_navigation():
        page.locator("button[name=index]").click()


def test_many_users_are_signed_out_with_one_reason(alice, bob, signed_in, page_as):
    window = page_as("support")
    page = window.go("/admin/accounts/user/")

    choose(page, "alice", "bob", action="sign_out_everywhere")
    assert "2 users: alice, bob." in page.locator(".consequences").inner_text()
    page.get_by_label("Reason").fill("a stolen laptop")
    window.click("Sign out everywhere")

    page.get_by_text("Sign out everywhere: done for 2.").wait_for()
    assert window.path == "/admin/accounts/user/"
    assert not Session.objects.live().exists()


def test_many_clients_are_disabled_with_one_reason(editor, robot, page_as):
    window = page_as("client-manager")
    page = window.go("/admin/oauth/client/")

    choose(page, editor.name, robot.client.name, action="disable_clients")
    page.get_by_label("Reason").fill("a breach")
    window.click("Disable the clients")

    page.get_by_text("Disable the clients: done for 2.").wait_for()
    assert not Client.objects.filter(is_active=True).exists()


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_the_page_between_is_accessible_and_fits(alice, make_user, page_as, width, theme, language):
    for number in range(30):
        make_user(f"somebody-with-a-long-name-{number}")
    make_user("boss", is_staff=True)
    assert User.objects.count() > 30
    window = page_as("support", width=width, theme=theme, language=language)
    page = window.go("/admin/accounts/user/")

    for box in page.locator("#result_list .action-checkbox input").all():  # a telephone has no box for all of them
        box.check()
    choose(page, action="sign_out_everywhere")

    assert page.locator("h1").count() == 1
    window.ensure_fits()
    window.ensure_accessible()
