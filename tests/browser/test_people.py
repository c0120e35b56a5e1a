"""What support does all day, in a browser: how many clicks it takes, and that its pages fit and are accessible."""

import pytest

from accounts import audit, lockout
from accounts.models import AuditEvent, LoginCounter, Outbox
from oauth.models import Session

LOOKS = [("desktop", "light", "en"), ("desktop", "dark", "ru"), ("phone", "light", "ru"), ("phone", "dark", "en")]


@pytest.fixture
def locked_alice(alice, signed_in):
    """Signed in to the editor, and locked out by somebody who guesses."""
    for _ in range(5):
        lockout.fail(lockout.reserve("alice", user=alice, address="198.51.100.7"), record={})
    audit.record("user:sign_in:failed", target=alice.pk, address="198.51.100.7")
    Session.objects.update(user_agent="Mozilla/5.0 (Windows NT 10.0) Firefox/130.0")
    return alice


class Clicks:
    """Counts what a hand does with the mouse. Typing and Enter are none."""

    def __init__(self, window):
        self.window, self.count = window, 0

    def on(self, name):
        self.count += 1
        with self.window.page.expect_navigation():
            self.window.page.locator("main").get_by_role("link", name=name).or_(
                self.window.page.locator("main").get_by_role("button", name=name)
            ).first.click()


@pytest.fixture
def on_the_page_of(page_as):
    """Find a user from the overview with the keyboard alone: no click."""

    def find(user, *, role="support"):
        window = page_as(role)
        window.go("/admin/")
        window.page.keyboard.press("/")
        window.page.keyboard.type(user.username)
        with window.page.expect_navigation():
            window.page.keyboard.press("Enter")
        assert window.title == user.username
        return window, Clicks(window)

    return find


def test_a_users_sessions_are_seen_without_another_click(locked_alice, on_the_page_of):
    window, clicks = on_the_page_of(locked_alice)

    assert window.page.get_by_role("link", name="Firefox on Windows", exact=True).is_visible()
    assert clicks.count == 0


def test_a_user_is_unlocked_with_two_clicks(locked_alice, on_the_page_of):
    _, clicks = on_the_page_of(locked_alice)

    clicks.on("Unlock…")
    clicks.on("Unlock")

    assert clicks.count <= 2
    assert not LoginCounter.objects.locked().exists()


def test_a_password_reset_is_sent_with_two_clicks(locked_alice, on_the_page_of):
    _, clicks = on_the_page_of(locked_alice)

    clicks.on("Send password reset…")
    clicks.on("Send password reset")

    assert clicks.count <= 2
    assert AuditEvent.objects.filter(event="user:password:reset_requested", target=str(locked_alice.pk)).count() == 1
    assert Outbox.objects.filter(kind="password_reset", user=locked_alice).count() == 1


def test_a_user_is_signed_out_everywhere_with_two_clicks(locked_alice, on_the_page_of):
    _, clicks = on_the_page_of(locked_alice)

    clicks.on("Sign out everywhere…")
    clicks.on("Sign out everywhere")

    assert clicks.count <= 2
    assert not Session.objects.live().exists()


def test_one_session_is_revoked_with_two_clicks(locked_alice, on_the_page_of):
    _, clicks = on_the_page_of(locked_alice)

    clicks.on("Revoke…")
    clicks.on("Revoke")

    assert clicks.count <= 2
    assert not Session.objects.live().exists()


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
