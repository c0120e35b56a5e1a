"""Staff sign in: password, then app, passkey or recovery code; or a passkey alone."""

from datetime import timedelta

import pytest

from accounts.models import User
from tests import secrecy
from tests.browser.conftest import follow
from tests.conftest import PASSWORD
from tests.staff import code_of, totp_code


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


def give_password(window, *, to="/admin/"):
    page = window.go(f"/sign-in?next={to}")
    page.get_by_label("User name or e-mail").fill("root")
    page.get_by_label("Password").fill(PASSWORD)
    window.click("Sign in", exact=True)


def enrol_app(window):
    window.click("Set up the app")
    seed = window.page.locator("#totp-secret").inner_text()
    secrecy.remember("the seed of an authenticator app", seed)
    window.page.get_by_label("Code from the app").fill(totp_code(seed))
    window.click("Set up", exact=True)
    return window.page.locator("#codes li").all_inner_texts()


def sign_out(window):
    window.go("/sign-out")
    window.click("Sign out")


@pytest.mark.checklist(99)
def test_staff_enrol_an_app_and_sign_in_with_it(root, open_window):
    window = open_window()
    give_password(window)
    assert window.path == "/account/security"
    window.go("/admin/")
    assert window.path == "/account/security"

    assert len(enrol_app(window)) == 10
    window.click("I have kept them")
    assert (window.path, window.title) == ("/admin/", "Overview")

    sign_out(window)
    give_password(window)
    assert window.path == "/sign-in/code"
    window.page.get_by_label("Code").fill(code_of(root))
    window.click("Sign in")
    assert window.path == "/admin/"


@pytest.mark.checklist(99)
def test_a_recovery_code_opens_the_admin_once(root, open_window):
    window = open_window()
    give_password(window)
    [code, *_] = enrol_app(window)
    sign_out(window)

    give_password(window)
    window.page.get_by_label("Code").fill(code)
    window.click("Sign in")
    assert window.path == "/admin/"
    sign_out(window)
    give_password(window)
    window.page.get_by_label("Code").fill(code)
    window.click("Sign in")

    assert window.page.get_by_text("This code does not work.").is_visible()


@pytest.mark.checklist(99)
def test_a_passkey_is_added_and_signs_in_by_itself_and_beside_the_password(root, open_window, with_passkeys):
    window = open_window()
    with_passkeys(window)
    give_password(window)
    window.click("Add a passkey")
    window.page.get_by_label("Name").fill("laptop")
    window.click("Go on")
    window.page.get_by_text("Your recovery codes").first.wait_for()
    sign_out(window)

    window.go("/sign-in?next=/admin/")
    window.page.get_by_role("button", name="Sign in with a passkey").click()
    window.wait_for("/admin/")
    sign_out(window)

    give_password(window)
    window.page.get_by_role("button", name="Use a passkey").click()
    window.wait_for("/admin/")
    assert User.objects.get(pk=root.pk).last_sign_in_at is not None


@pytest.mark.checklist(104)
def test_who_has_to_prove_it_again_comes_back(page_as):
    window = page_as("owner", signed_in_ago=timedelta(minutes=20))

    window.go("/account/security/authenticator/remove")
    assert window.title == "Confirm that it is you"
    window.page.get_by_label("Code").fill(code_of(User.objects.get(username="owner")))
    window.click("Go on")

    assert window.path == "/account/security/authenticator/remove"


def test_signing_in_works_without_scripts(root, browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/sign-in?next=/admin/")
    page.get_by_label("User name or e-mail").fill("root")
    page.get_by_label("Password").fill(PASSWORD)
    follow(page, "Sign in", exact=True)
    follow(page, "Set up the app")
    seed = page.locator("#totp-secret").inner_text()
    secrecy.remember("the seed of an authenticator app", seed)
    page.get_by_label("Code from the app").fill(totp_code(seed))
    follow(page, "Set up", exact=True)
    follow(page, "I have kept them")

    assert page.url == f"{site.url}/admin/"
    context.close()
