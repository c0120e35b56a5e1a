"""Loads that are spread over a large table: chains of refreshes of sessions that lie far apart, and sign-ins of users drawn anew."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle

import psycopg

from oauth.refresh_tokens import RefreshToken, encode
from tests.bench import kinds
from tests.bench.kinds import Kind
from tests.bench.phases import Caller, Plan
from tests.bench.server import Site


@dataclass(frozen=True)
class Known:
    """A site, and the handles of sessions in its database whose refresh tokens we can make."""

    site: Site
    handles: list[bytes] = field(repr=False)

    def tokens(self) -> list[str]:
        """Those that are live now, by the generation at which each row stands."""
        by_id = {RefreshToken(handle, 0).session_id: handle for handle in self.handles}
        with psycopg.connect(self.site.database_url) as connection:
            rows = connection.execute("SELECT id, generation FROM oauth_session WHERE id = ANY(%s)", [list(by_id)]).fetchall()
        keys = [self.site.environment["AUTH_SERVICE__TOKEN_KEYS"]]
        return [encode(RefreshToken(by_id[session_id], generation), keys=keys) for session_id, generation in rows]

    def refreshes(self) -> Plan:
        """Each connection has a share of the sessions and refreshes them in turns; for one load, because it spends their tokens."""
        tokens = self.tokens()

        def plan(caller: Caller) -> Callable[[], Kind]:
            mine = tokens[caller.number :: caller.of]
            return cycle([kinds.Refresh(caller.wire, refresh_token=token.encode()) for token in mine]).__next__

        return plan


def sign_ins(caller: Caller) -> Callable[[], Kind]:
    signing_in = kinds.SignIn(caller.wire, users=_drawn_users(caller))
    return lambda: signing_in


def _drawn_users(caller: Caller) -> Iterator[int]:
    """Every so-many-th user is this connection's: no two sign in the same one at once."""
    dice = random.Random(caller.number)
    while True:
        yield caller.number + caller.of * dice.randrange(caller.site.users // caller.of)
