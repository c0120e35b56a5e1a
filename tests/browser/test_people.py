"""What support looks at all day, in a browser: its pages fit and are accessible. What it does there: test_clicks.py."""

import pytest

from accounts import audit, lockout
from oauth.models import Session
from tests.browser.conftest import LOOKS


@pytest.fixture
def locked_alice(alice, signed_in):
    """Signed in to the editor, and locked out by somebody who guesses."""
    for _ in range(5):
        lockout.fail(lockout.reserve("alice", user=alice, address="198.51.100.7"), record={})
    audit.record("user:sign_in:failed", target=alice.pk, address="198.51.100.7")
    Session.objects.update(user_agent="Mozilla/5.0 (Windows NT 10.0) Firefox/130.0")
    return alice


@pytest.mark.parametrize(("width", "theme", "language"), LOOKS)
def test_the_pages_of_people_are_accessible_and_fit(locked_alice, bob, page_as, width, theme, language):
    window = page_as("owner", width=width, theme=theme, language=language)
    session, user = Session.objects.get(), f"/admin/accounts/user/{locked_alice.pk}"

    for path in (
        "/admin/accounts/user/",
        "/admin/accounts/user/?state=locked&two_step=no",
        f"{user}/change/",
        f"/admin/accounts/user/{bob.pk}/change/",
        *(f"{user}/{act}/" for act in ("unlock", "send-password-reset", "sign-out-everywhere", "disable")),
        "/admin/oauth/session/",
        f"/admin/oauth/session/{session.pk}/change/",
        f"/admin/oauth/session/{session.pk}/revoke/",
        "/admin/accounts/logincounter/",
    ):
        page = window.go(path)
        assert page.locator("h1").count() == 1, path
        window.ensure_fits()
        window.ensure_accessible()
