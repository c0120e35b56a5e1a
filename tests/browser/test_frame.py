"""The frame of every page: no complaint of the console, nothing inaccessible, nothing clipped, in each width, theme and language."""

import pytest

from accounts import audit
from tests.browser.conftest import LOOKS

OPEN_PAGES = ("/", "/sign-in", "/password-reset", "/password-reset/confirm", "/confirm-email", "/sign-out")
STAFF_PAGES = (
    "/admin/",
    "/admin/accounts/user/",
    "/admin/accounts/user/add/",
    "/admin/oauth/session/",
    "/admin/accounts/logincounter/",
    "/admin/oauth/client/",
    "/admin/accounts/role/",
    "/admin/oauth/signingkey/",
    "/admin/accounts/auditevent/",
    "/admin/accounts/refusal/",
    "/admin/auth/group/",
    "/admin/password_change/",
    "/admin/find/",
    "/account/security",
    "/account/security/passkeys/add",
    "/account/security/recovery-codes",
    "/account/security/authenticator/remove",
    "/sign-in/again",
    "/sign-in/code/again",
    "/sign-out",
)


@pytest.fixture
def rows(alice, bob, editor, robot, signed_in, sign_in):
    """Something on every list."""
    sign_in("bob", "a wrong password")
    audit.record("user:sign_in:failed", target=alice.pk, address="198.51.100.23", detail={"reason": "wrong password"})
    return {
        f"/admin/accounts/user/{alice.pk}/change/",
        f"/admin/accounts/user/{alice.pk}/password/",
        f"/admin/oauth/client/{editor.pk}/change/",
    }


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_every_page_is_accessible_and_fits(rows, page_as, open_window, width, theme, language):
    visitor, owner = open_window(width=width, theme=theme, language=language), page_as("owner", width=width, theme=theme, language=language)

    for window, paths in ((visitor, OPEN_PAGES), (owner, (*STAFF_PAGES, *sorted(rows)))):
        for path in paths:
            page = window.go(path)
            assert page.locator("html").get_attribute("lang") == language
            assert page.locator("h1").count() == 1, path
            window.ensure_fits()
            window.ensure_accessible()


def test_the_theme_is_chosen_and_kept(page_as):
    window = page_as("owner")
    page = window.go("/admin/")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.locator(".who summary").click()
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()

    assert dark != before
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_the_language_is_chosen_and_kept(page_as):
    window = page_as("owner")
    page = window.go("/admin/accounts/user/")

    page.locator(".who summary").click()
    window.click("Русский")

    assert window.path == "/admin/accounts/user/"
    assert window.title == "Пользователи"
    window.go("/admin/")
    assert window.title == "Обзор"


def test_the_find_box_goes_straight_to_the_one_that_is_meant(alice, page_as):
    window = page_as("owner")
    page = window.go("/admin/oauth/client/")

    page.keyboard.press("/")
    page.keyboard.type("alice")
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/")

    assert window.path == f"/admin/accounts/user/{alice.pk}/change/"
    assert window.title == "alice"


def test_what_is_found_more_than_once_is_listed_and_what_is_not_found_is_said(alice, make_user, page_as):
    make_user("alicia")
    window = page_as("owner")
    page = window.go("/admin/")

    page.locator("#find").fill("ali")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="alicia").wait_for()
    assert page.locator("tbody tr").count() == 2

    page.locator("#find").fill("nobody-of-this-name")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing was found").wait_for()
    assert "nobody-of-this-name" in page.locator(".empty").inner_text()
    assert "nobody" not in page.url


def test_the_sidebar_shows_what_the_role_may_see(page_as):
    window = page_as("viewer")
    page = window.go("/admin/")

    lines = page.locator("nav.side a").all_inner_texts()

    assert lines == [
        *("Overview", "Users", "Sessions", "Lockouts", "Clients", "User roles"),
        *("Signing keys", "Audit log", "Explain a failure", "Refused requests", "Staff accounts"),
    ]


def test_a_phone_has_the_sidebar_behind_a_button(page_as):
    window = page_as("owner", width="phone")
    page = window.go("/admin/")
    assert not page.get_by_role("link", name="Audit log").first.is_visible() or page.locator("nav.side").is_hidden()

    page.get_by_role("button", name="Menu").click()
    window.click("Users")

    assert window.path == "/admin/accounts/user/"


def test_the_keyboard_skips_to_the_content_and_shows_where_it_is(page_as):
    window = page_as("owner")
    page = window.go("/admin/")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content-start"
    page.keyboard.press("Tab")

    assert page.evaluate("getComputedStyle(document.activeElement).boxShadow") != "none"
