"""A device and its person in any order and at once: it is decided once, and let in once, on both databases."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts import clock
from accounts.actors import NOBODY
from accounts.browser_proof import Proof
from accounts.models import AuditEvent, User
from oauth import device_codes
from oauth.device_codes import UnknownCode
from oauth.errors import OAuthError
from oauth.models import DEVICE_CODE, Client, DeviceCode, Session
from oauth.session_rows import Origin
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.checklist(118)]

ORIGIN = Origin("203.0.113.9", "console/1")
PROOF = Proof(datetime(2026, 1, 31, 12, 0, tzinfo=UTC), "pwd otp mfa", "2")


@pytest.fixture
def console(make_client):
    return make_client("console", grant_types=(DEVICE_CODE,)).client


@pytest.fixture
def codes(console):
    return device_codes.make(console, scope="api:read", origin=ORIGIN)


def approve(codes, user):
    device_codes.approve(device_codes.find_waiting(codes.user_code), user=user, proof=PROOF, actor=NOBODY)


def redeem(codes, client):
    return device_codes.redeem(codes.device_code, client=client, origin=ORIGIN)


def outcomes(results):
    return Counter(getattr(result, "error", None) or type(result).__name__ for result in results)


@pytest.mark.spec("RFC 8628", "3.5", "a device code is used once")
@pytest.mark.parametrize("parallel", [2, 20])
def test_of_parallel_polls_one_is_let_in(codes, console, alice, parallel):
    approve(codes, alice)

    results = at_once(*[lambda: redeem(codes, console)] * parallel, refusals=(OAuthError,))

    assert outcomes(results) == {"Issued": 1, "invalid_grant": parallel - 1}
    [issued] = [result for result in results if not isinstance(result, OAuthError)]
    assert Session.objects.get().pk == issued.claims.sid
    assert AuditEvent.objects.filter(event="user:sign_in:succeeded").count() == 1


@pytest.mark.spec("RFC 8628", "3.5", "slow_down")
def test_of_parallel_polls_of_a_waiting_device_one_is_in_time(codes, console):
    results = at_once(*[lambda: redeem(codes, console)] * 8, refusals=(OAuthError,))

    assert outcomes(results) == {"authorization_pending": 1, "slow_down": 7}
    assert DeviceCode.objects.get().interval == 5 + 7 * 5


def test_of_parallel_decisions_one_counts(codes, alice, bob):
    shown = device_codes.find_waiting(codes.user_code)

    def decide(number):
        if number % 2:
            return device_codes.deny(shown, user=bob, actor=NOBODY)
        return device_codes.approve(shown, user=alice, proof=PROOF, actor=NOBODY)

    results = at_once(*[lambda number=number: decide(number) for number in range(8)], refusals=(UnknownCode,))

    assert Counter(type(result).__name__ for result in results) == {"NoneType": 1, "UnknownCode": 7}
    [event] = AuditEvent.objects.filter(event__startswith="device:code:")
    row = DeviceCode.objects.get()
    assert (event.event, row.user) == (f"device:code:{row.decision}", alice if row.decision == "approved" else bob)


class DeviceMachine(RuleBasedStateMachine):
    """The model decides first what should happen; then the server is asked."""

    @initialize()
    def begin(self):
        Session.objects.all().delete()
        DeviceCode.objects.all().delete()
        User.objects.filter(username="alice").delete()
        self.alice = User.objects.create_user("alice")
        self.clients = {name: Client.objects.get(client_id=name) for name in ("console", "other")}
        self.started, self.decision, self.interval, self.polled_at = clock.offset, "pending", 5, None
        self.is_gone = False
        self.codes = device_codes.make(self.clients["console"], scope="api:read", origin=ORIGIN)

    @property
    def age(self):
        return (clock.offset - self.started).total_seconds()

    @rule(seconds=st.sampled_from([10, 20, 60, 250]))
    def wait(self, seconds):
        clock.offset += timedelta(seconds=seconds)

    @rule(name=st.sampled_from(["approved", "denied"]))
    def decide(self, name):
        expected = self.decision == "pending" and self.age < 600
        try:
            if name == "approved":
                approve(self.codes, self.alice)
            else:
                device_codes.deny(device_codes.find_waiting(self.codes.user_code), user=self.alice, actor=NOBODY)
            did = True
        except UnknownCode:
            did = False
        assert did == expected
        if expected:
            self.decision = name

    @rule(kind=st.sampled_from(["disabled", "epoch"]))
    def lose_user(self, kind):
        if self.decision == "approved":
            User.objects.filter(pk=self.alice.pk).update(**{"is_active": False} if kind == "disabled" else {"session_epoch": 7})
            self.is_gone = True

    @rule(client=st.sampled_from(["console", "console", "console", "other"]))
    def poll(self, client):
        expected = self.expected_of(client)
        try:
            redeem(self.codes, self.clients[client])
            answer = "tokens"
        except OAuthError as refusal:
            answer = refusal.error
        assert answer == expected
        if expected in {"authorization_pending", "slow_down"}:
            self.polled_at = self.age
        if expected == "slow_down":
            self.interval = min(60, self.interval + 5)
        if expected == "tokens":
            self.decision = "consumed"

    def expected_of(self, client):
        if client == "other" or self.decision == "consumed":
            return "invalid_grant"
        if self.age >= 600:
            return "expired_token"
        if self.decision == "denied":
            return "access_denied"
        if self.decision == "approved":
            return "invalid_grant" if self.is_gone else "tokens"
        # Waits are of ten seconds, so what is too early stays so though real time passes too.
        in_time = self.polled_at is None or self.age - self.polled_at >= self.interval - 1
        return "authorization_pending" if in_time else "slow_down"

    @invariant()
    def one_session_at_most(self):
        if hasattr(self, "codes"):
            assert Session.objects.count() == (self.decision == "consumed")


@pytest.mark.spec("RFC 8628", "3.5", "the state of a device code")
def test_a_device_is_answered_as_its_model_says_whatever_happens(make_client):
    make_client("console", grant_types=(DEVICE_CODE,))
    make_client("other", grant_types=(DEVICE_CODE,))

    run_state_machine_as_test(
        DeviceMachine,
        settings=settings(max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)),
    )
