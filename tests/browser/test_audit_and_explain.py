"""The audit log and the page that explains a failure, as staff see and use them."""

import pytest

from tests.browser.conftest import LOOKS


@pytest.fixture
def error_id(alice, editor, sign_in):
    sign_in("alice")
    return sign_in("alice", "a wrong password").body["error_id"]


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_the_audit_log_and_an_explanation_are_accessible_and_fit(error_id, page_as, width, theme, language):
    window = page_as("owner", width=width, theme=theme, language=language)

    for path in ("/admin/accounts/auditevent/", "/admin/explain/", f"/admin/explain/?error_id={error_id}", "/admin/explain/?error_id=x"):
        page = window.go(path)
        window.ensure_fits()
        window.ensure_accessible()
        table = page.locator("#result_list")
        if width == "desktop" and table.count():
            assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth"), "the rows are cut"


def test_an_error_id_in_the_find_box_leads_to_its_explanation(error_id, page_as):
    window = page_as("owner")
    page = window.go("/admin/")

    page.keyboard.press("/")
    page.keyboard.type(error_id)
    page.keyboard.press("Enter")

    page.get_by_text("wrong password", exact=True).wait_for()
    assert window.path == f"/admin/explain/?error_id={error_id}"


def test_who_did_what_is_one_click_away(error_id, page_as):
    window = page_as("owner")
    page = window.go("/admin/")

    window.click("Audit log")

    assert page.locator("#result_list tbody tr").first.get_by_role("link", name="alice").is_visible()
    page.locator("#filter-address").fill("127.0.0.1")
    page.keyboard.press("Enter")
    page.wait_for_url("**address=127.0.0.1")
    assert page.locator("#result_list tbody tr").count() >= 2


def test_the_log_is_exported_by_a_button(error_id, page_as):
    window = page_as("owner")
    page = window.go("/admin/accounts/auditevent/")

    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()

    assert download.value.suggested_filename == "audit.csv"
