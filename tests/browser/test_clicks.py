"""How many clicks each task of staff takes, from the overview, by who has the role for it: the table, and a test for each row of it.

A click is what a hand does with the mouse. What is typed, Enter included, is none.
"""

import re
from datetime import timedelta

import pytest

from accounts import audit, clock, lockout
from accounts.models import AuditEvent, LoginCounter, Outbox
from oauth import key_rotation
from oauth.models import Client, Session, SigningKey

GUESSER = "198.51.100.7"


class Hand:
    """Does things on a page and counts the clicks among them."""

    def __init__(self, window):
        self.window, self.page, self.clicks = window, window.page, 0

    def click(self, name, *, within="main"):
        """A link or a button by what it says; in a row of a list, what it is about may follow. The next page has come when this returns."""
        self.clicks += 1
        place, called = self.page.locator(within), re.compile(rf"^{re.escape(name)}( |$)")
        target = place.get_by_role("link", name=called).or_(place.get_by_role("button", name=called))
        with self.page.expect_navigation():
            target.first.click()

    def find(self, text):
        self.page.keyboard.press("/")
        self.page.keyboard.type(text)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def write(self, label, text):
        """Into a field; from the page's beginning it is reached by the Tab key."""
        self.page.get_by_label(label).focus()
        self.page.keyboard.type(text)

    def sees(self, text):
        return self.page.locator("main").get_by_text(text).first.is_visible()


@pytest.fixture
def world(alice, editor, robot, signed_in, signing_key):
    """Alice is signed in to the editor, and locked out by somebody who guesses. Two keys: one signs, one is known and waits."""
    for _ in range(5):
        lockout.fail(lockout.reserve("alice", user=alice, address=GUESSER), record={})
    audit.record("user:sign_in:failed", target=alice.pk, address=GUESSER)
    Session.objects.update(user_agent="Mozilla/5.0 (Windows NT 10.0) Firefox/130.0")
    key_rotation.maintain()
    SigningKey.objects.update(published_at=clock.now() - timedelta(days=30), signs_from=None)
    SigningKey.objects.filter(pk=signing_key.pk).update(signs_from=clock.now() - timedelta(days=30))
    return alice


def find_a_user(hand):
    hand.find("alice")

    assert hand.window.title == "alice"


def see_their_sessions(hand):
    find_a_user(hand)

    assert hand.page.get_by_role("link", name="Firefox on Windows", exact=True).is_visible()


def unlock(hand):
    hand.find("alice")
    hand.click("Unlock…")
    hand.click("Unlock")

    assert not LoginCounter.objects.locked().exists()


def send_a_password_reset(hand):
    hand.find("alice")
    hand.click("Send password reset…")
    hand.click("Send password reset")

    assert AuditEvent.objects.filter(event="user:password:reset_requested").count() == 1
    assert Outbox.objects.filter(kind="password_reset").count() == 1


def sign_out_everywhere(hand):
    hand.find("alice")
    hand.click("Sign out everywhere…")
    hand.click("Sign out everywhere")

    assert not Session.objects.live().exists()


def revoke_one_session(hand):
    hand.find("alice")
    hand.click("Revoke…")
    hand.click("Revoke")

    assert not Session.objects.live().exists()


def rotate_a_client_secret(hand):
    hand.click("Clients", within="nav.side")
    hand.click("Rotate secret…")
    hand.write("Reason", "a year is over")
    hand.click("Rotate the secret")

    _ensure_rotated(hand)


def rotate_a_client_secret_by_the_find_box(hand):
    hand.find("robot")
    hand.click("Rotate secret…")
    hand.write("Reason", "a year is over")
    hand.click("Rotate the secret")

    _ensure_rotated(hand)


def _ensure_rotated(hand):
    assert len(hand.page.locator("#secret").input_value()) > 40
    assert Client.objects.get(client_id="robot").previous_secret_expires_at is not None


def rotate_the_signing_key(hand):
    first, second = SigningKey.objects.order_by("sequence")
    hand.click("Signing keys", within="nav.side")
    hand.click("Rotate…")
    hand.write("Reason", "before the audit")
    hand.write("The key's kid", first.kid)
    hand.click("Rotate the signing key")

    assert SigningKey.objects.get(pk=second.pk).signs_from is not None


def revoke_a_key_in_an_emergency(hand):
    first, _ = SigningKey.objects.order_by("sequence")
    hand.click("Signing keys", within="nav.side")
    hand.click("Compromised…")
    hand.write("Reason", "it lay on a stolen disk")
    hand.write("The key's kid", first.kid)
    hand.click("Take a compromised key out of use")

    assert SigningKey.objects.get(pk=first.pk).revoked_at is not None


def see_who_did_what(hand):
    hand.click("Audit log", within="nav.side")

    assert hand.page.locator("#result_list tbody tr").first.is_visible()
    assert hand.page.locator("#result_list").get_by_role("link", name="alice").first.is_visible()


def see_failed_sign_ins_by_address(hand):
    assert hand.sees("Failed sign-ins by address")
    assert hand.sees(GUESSER)


CLICKS = [
    # the task, who does it, and how many clicks it may take
    (find_a_user, "support", 0),
    (see_their_sessions, "support", 0),
    (unlock, "support", 2),
    (send_a_password_reset, "support", 2),
    (sign_out_everywhere, "support", 2),
    (revoke_one_session, "support", 2),
    (rotate_a_client_secret, "client-manager", 3),
    (rotate_a_client_secret_by_the_find_box, "client-manager", 2),
    (rotate_the_signing_key, "security-admin", 3),
    (revoke_a_key_in_an_emergency, "security-admin", 3),
    (see_who_did_what, "viewer", 1),
    (see_failed_sign_ins_by_address, "viewer", 0),
]


@pytest.mark.parametrize(("task", "role", "most"), CLICKS, ids=[f"{task.__name__} {most}" for task, _, most in CLICKS])
def test_a_task_takes_no_more_clicks_than_the_table_says(world, page_as, task, role, most):
    hand = Hand(page_as(role))
    hand.window.go("/admin/")

    task(hand)

    assert hand.clicks <= most
