"""The page of signing keys in a browser: what is shown of a key that was taken out of use, and how the page looks to whom."""

from datetime import timedelta

import pytest

from accounts import clock
from oauth import key_rotation
from oauth.models import SigningKey
from tests.browser.conftest import LOOKS


@pytest.fixture
def two_keys(signing_key):
    """The key that signs, and the standby, which every verifier knows by now."""
    key_rotation.maintain()
    SigningKey.objects.update(published_at=clock.now() - timedelta(days=30), signs_from=None)
    SigningKey.objects.filter(pk=signing_key.pk).update(signs_from=clock.now() - timedelta(days=30))
    return [*SigningKey.objects.order_by("sequence")]


def confirm(window, kid, *, button):
    """What is asked before an act on a key."""
    window.page.get_by_label("Reason").fill("before the audit")
    window.page.get_by_label("The key's kid").fill(kid)
    window.click(button)


def test_a_compromised_key_is_shown_as_revoked(two_keys, page_as):
    window = page_as("owner")
    window.go("/admin/")

    window.click("Signing keys")
    window.click("Compromised…")
    confirm(window, two_keys[0].kid, button="Take a compromised key out of use")

    window.page.locator(".messagelist .success").wait_for()
    assert SigningKey.objects.get(pk=two_keys[0].pk).revoked_at is not None
    assert window.page.locator("td .pill--bad").all_inner_texts() == ["Revoked"]


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_the_pages_of_signing_keys_are_accessible_and_fit(two_keys, page_as, width, theme, language):
    window = page_as("owner", width=width, theme=theme, language=language)
    key_rotation.revoke(two_keys[0].kid, actor=key_rotation.NOBODY, reason="leaked")

    for path in ("", "rotate/", f"{two_keys[1].pk}/compromised/", f"{two_keys[1].pk}/change/"):
        window.go(f"/admin/oauth/signingkey/{path}")
        assert window.page.locator("html").get_attribute("lang") == language
        window.ensure_fits()
        window.ensure_accessible()


def test_what_is_drawn_can_be_read_on_a_phone(two_keys, page_as):
    page = page_as("owner", width="phone").go("/admin/oauth/signingkey/")

    boxes = [text.bounding_box() for text in page.locator("svg.timeline text").all()]

    assert len(boxes) == 5  # a name for each key, now, and the ends of the axis
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["height"] >= 11 for box in boxes)
    assert page.locator("svg.timeline rect").count() >= 3
