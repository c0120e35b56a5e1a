"""One session against a plain model of it: whatever is done in whatever order, both say the same."""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts import clock
from accounts.models import User
from oauth import scopes, session_rows, sessions
from oauth.errors import InvalidGrant, InvalidScope
from oauth.models import Client, Session

LIFETIME, RETRY, CATCH_UP = 30 * 86400, 60, 16
GRANT = frozenset({"api:read", "api:write"})
NETWORKS = {"home": "198.51.100.7", "home again": "198.51.100.99", "elsewhere": "203.0.113.5"}
KEYS = ("", "key-one-of-sixteen", "key-two-of-sixteen")


@dataclass(frozen=True)
class Row:
    """What the database holds of the session, in the model's words. Times are seconds since the test began."""

    generation: int = 0
    refreshed_at: float = 0
    expires_at: float = LIFETIME
    key: str = ""
    network: str = "home"


class SessionMachine(RuleBasedStateMachine):
    """The model decides first what should happen; then the server is asked."""

    tokens = Bundle("tokens")

    @initialize(target=tokens)
    def sign_in(self):
        self.model, self.rows, self.values = Row(), {0: Row()}, {}
        self.stored: dict[int, dict[str, Any]] = {}
        self.revoked = self.user_disabled = self.epoch_raised = self.client_disabled = False
        self.started = clock.offset
        self.editor = Client.objects.get(client_id="editor")
        self.other = Client.objects.get(client_id="other")
        self.editor.refresh_overlap_seconds = 0
        User.objects.filter(username="alice").delete()
        Client.objects.update(is_active=True)
        self.alice = User.objects.create_user("alice")
        opened, row = sessions.new(
            self.alice,
            role_names=(),
            client=self.editor,
            scope=scopes.format(GRANT),
            amr="pwd",
            origin=self._origin("home"),
            auth_time=clock.now(),
        )
        row.execute()
        self.sid = opened.claims.sid
        self.values[0] = opened.refresh_token_value
        self._remember()
        return 0

    # --- What clients do ---

    @rule(target=tokens, generation=tokens, key=st.sampled_from(KEYS), network=st.sampled_from([*NETWORKS]))
    def present(self, generation, key, network):
        """Any token that was ever issued: the live one, the one before it, or an older one."""
        return self._present(generation, key=key, network=network, asked=frozenset())

    @rule(target=tokens, generation=tokens, key=st.sampled_from(KEYS), asked=st.sampled_from([{"api:read"}, GRANT, {"api:read", "admin"}]))
    def present_and_ask_a_scope(self, generation, key, asked):
        return self._present(generation, key=key, network="home", asked=frozenset(asked))

    @rule(target=tokens, generation=tokens, key=st.sampled_from(KEYS), times=st.integers(2, 5))
    def present_in_parallel(self, generation, key, times):
        """As the row's lock lines them up; what real threads do to that line is in test_races."""
        issued = [self._present(generation, key=key, network="home", asked=frozenset()) for _ in range(times)]
        return multiple(*[each for each in issued if isinstance(each, int)])

    @rule(target=tokens, steps=st.integers(1, 20))
    def refresh_in_a_chain(self, steps):
        """Make it long, so that there is something to lose."""
        issued = [self._present(self.model.generation, key="", network="home", asked=frozenset()) for _ in range(steps)]
        return multiple(*[each for each in issued if isinstance(each, int)])

    @rule(generation=tokens)
    def present_through_another_client(self, generation):
        with pytest.raises(InvalidGrant):
            sessions.refresh(self.values[generation], client=self.other, scope="", idempotency_key="", origin=self._origin("home"))

    # --- What else happens ---

    @rule(seconds=st.sampled_from([1, 5, 11, 59, 61, 86400, LIFETIME - 1, LIFETIME + 1]))
    def time_passes(self, seconds):
        clock.offset += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([0, 10]))
    def the_overlap_is_set(self, seconds):
        self.editor.refresh_overlap_seconds = seconds

    @rule()
    def the_session_is_revoked(self):
        assert sessions.revoke(self.sid, reason="test") is not self.revoked
        self.revoked = True

    @rule(disabled=st.booleans())
    def the_user_is_disabled_or_enabled(self, disabled):
        User.objects.filter(pk=self.alice.pk).update(is_active=not disabled)
        self.user_disabled = disabled

    @rule(disabled=st.booleans())
    def the_client_is_disabled_or_enabled(self, disabled):
        Client.objects.filter(pk=self.editor.pk).update(is_active=not disabled)
        self.client_disabled = disabled

    @rule()
    def the_password_is_changed(self):
        user = User.objects.get(pk=self.alice.pk)
        user.set_password("another one")
        user.save(update_fields=("password", "session_epoch"))
        self.epoch_raised = True

    @precondition(lambda self: self.model.generation > 0)
    @rule(data=st.data())
    def the_database_loses_writes(self, data):
        """A failover to a replica that stood at an earlier generation; what was revoked stays so."""
        generation = data.draw(st.sampled_from(sorted(self.rows)))
        if generation <= self.model.generation:
            Session.objects.filter(pk=self.sid).update(**self.stored[generation])
            self.model = self.rows[generation]

    @invariant()
    def the_database_and_the_model_agree(self):
        row = Session.objects.filter(pk=getattr(self, "sid", None)).first()
        if row is not None:
            assert (row.generation, row.revoked_at is not None) == (self.model.generation, self.revoked)

    def teardown(self):
        clock.offset = clock.NONE

    # --- The model ---

    def _present(self, generation, *, key, network, asked):
        expected = self._decide(generation, key=key, network=network, asked=asked)

        def refresh():
            return sessions.refresh(
                self.values[generation],
                client=self.editor,
                scope=scopes.format(asked),
                idempotency_key=key,
                origin=self._origin(network),
            )

        if expected != "issued":
            with pytest.raises((InvalidGrant, InvalidScope)) as refusal:
                refresh()
            assert refusal.value.error == expected
            return multiple()

        issued, successor = refresh(), generation + 1
        assert issued.scope == scopes.format(asked or GRANT)
        assert issued.claims.sid == self.sid
        # One generation has one token, however often and by whatever way it is given.
        assert self.values.setdefault(successor, issued.refresh_token_value) == issued.refresh_token_value
        if successor not in self.rows or self.rows[successor] != self.model:
            self._remember()
        return successor

    def _decide(self, generation, *, key, network, asked):
        """What the contract says to this token here and now; the model moves as the server should."""
        at, row = self._now(), self.model
        same_key = bool(key) and key == row.key and at - row.refreshed_at < RETRY
        overlap = at - row.refreshed_at < self.editor.refresh_overlap_seconds and network.split()[0] == row.network.split()[0]
        if row.generation <= generation and not asked <= GRANT:
            return "invalid_scope"
        if self.revoked:
            return "invalid_grant"
        if row.generation > generation:
            if row.generation == generation + 1 and (same_key or overlap):
                if not self._is_live():
                    return "invalid_grant"
                return "issued" if asked <= GRANT else "invalid_scope"
            self.revoked = True
            return "invalid_grant"
        if not self._is_live() or generation - row.generation > CATCH_UP:
            return "invalid_grant"
        self.model = Row(generation + 1, at, at + LIFETIME, key, network)
        return "issued"

    def _is_live(self):
        return not (self.revoked or self.user_disabled or self.epoch_raised or self.client_disabled) and self._now() < self.model.expires_at

    def _now(self):
        return (clock.offset - self.started).total_seconds()

    def _remember(self):
        """The row as it stands, for the day the database falls back to it."""
        columns = ("generation", "refreshed_at", "expires_at", "retry_digest", "address", "user_agent")
        self.rows[self.model.generation] = replace(self.model)
        self.stored[self.model.generation] = Session.objects.values(*columns).get(pk=self.sid)

    @staticmethod
    def _origin(network):
        return session_rows.Origin(address=NETWORKS[network], user_agent="Editor/1")


@pytest.mark.checklist(59, 61, 62, 63, 64, 67, 68, 69, 71)
def test_a_session_does_what_its_model_does_whatever_happens(make_client, capsys):
    make_client("editor")
    make_client("other")

    runs = int(os.environ.get("MACHINE_EXAMPLES") or (40 if connection.vendor == "sqlite" else 30))

    run_state_machine_as_test(
        SessionMachine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

    with capsys.disabled():
        print(f"\nsession and model: {runs} runs of up to 40 steps, no difference")
