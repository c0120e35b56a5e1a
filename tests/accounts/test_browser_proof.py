"""How and when the person at a browser proved who they are (accounts/browser_proof.py)."""

from datetime import UTC, datetime

import pytest
from django.test import Client as Browser
from django.test import RequestFactory

from accounts import browser_proof, clock
from accounts.browser_proof import Proof
from tests.staff import code_of, let_in, send_code, send_password

pytestmark = pytest.mark.django_db

PASSWORD = {"method": "password", "username": "alice"}
APP = {"method": "mfa", "type": "totp", "id": 1}
RECOVERY_CODE = {"method": "mfa", "type": "recovery_codes", "id": 2}
PASSKEY = {"method": "mfa", "type": "webauthn", "id": 3}


def request_of(user, *records, stored_user=None):
    """A request of a session in which these proofs were given, at 1000, 1001, … seconds."""
    request = RequestFactory().get("/")
    request.user = user
    request.session = {
        "account_authentication_methods": [record | {"at": 1000.0 + at} for at, record in enumerate(records)],
        "account_authentication_methods_user": str((stored_user or user).pk),
    }
    return request


def request_in(browser, user):
    request = RequestFactory().get("/")
    request.user, request.session = user, browser.session
    return request


@pytest.mark.parametrize(
    ("records", "amr", "acr"),
    [
        ([PASSWORD], "pwd", "1"),
        ([PASSWORD, APP], "pwd otp mfa", "2"),
        ([PASSWORD, RECOVERY_CODE], "pwd otp mfa", "2"),
        ([PASSWORD, PASSKEY], "pwd hwk user mfa", "2"),
        ([PASSKEY | {"passwordless": True}], "hwk user", "2"),
        ([PASSKEY, PASSWORD | {"reauthenticated": True}], "pwd hwk user mfa", "2"),
        ([APP, RECOVERY_CODE], "otp", "1"),
        ([PASSWORD, PASSWORD], "pwd", "1"),
    ],
)
@pytest.mark.spec("RFC 8176", "2", "amr says which methods were used")
def test_a_proof_names_each_method_once_and_how_much_it_is_worth(alice, records, amr, acr):
    proof = browser_proof.of(request_of(alice, *records))

    assert (proof.amr, proof.acr) == (amr, acr)


@pytest.mark.parametrize(
    ("again", "seconds"),
    [
        (APP, 42),
        (PASSKEY, 42),
        (PASSWORD, 41),  # SECURITY: of who gave a second factor a password alone proves nothing anew
    ],
)
def test_a_repeated_proof_counts_as_the_newest(alice, again, seconds):
    proof = browser_proof.of(request_of(alice, PASSWORD, APP, again | {"reauthenticated": True}))

    assert proof.auth_time == datetime(1970, 1, 1, 0, 16, seconds, tzinfo=UTC)
    assert proof.acr == "2"


@pytest.mark.parametrize(
    ("is_staff", "development", "records", "expected"),
    [
        (True, False, [PASSWORD], True),
        (True, False, [PASSWORD, APP], False),
        (True, False, [PASSKEY], False),
        (True, True, [PASSWORD], False),
        (False, False, [PASSWORD], False),
    ],
)
def test_staff_need_a_second_factor_outside_development(make_user, settings, is_staff, development, records, expected):
    settings.DEVELOPMENT = development
    person = make_user("person", is_staff=is_staff)

    assert browser_proof.must_be_stronger(request_of(person, *records)) is expected


def test_what_another_user_proved_and_what_nothing_is_recorded_of_was_long_ago_and_one_factor(alice, bob):
    for request in (request_of(bob, PASSWORD, APP, stored_user=alice), request_of(alice)):
        assert browser_proof.of(request) == Proof(auth_time=datetime.fromtimestamp(0, UTC), amr="pwd", acr="1")


def test_what_people_do_at_the_sign_in_is_read_back(make_user):
    root, browser, before = make_user("root", is_staff=True), Browser(), clock.now()
    let_in(Browser(), root)  # an app is enrolled
    send_password(browser, "root")

    send_code(browser, code_of(root))

    proof = browser_proof.of(request_in(browser, root))
    assert (proof.amr, proof.acr) == ("pwd otp mfa", "2")
    assert before <= proof.auth_time <= clock.now()
