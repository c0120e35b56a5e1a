"""Fill the site of a bench with very many users and sessions, and have tokens of sessions that lie all over the table."""

import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg

from tests.bench import kinds
from tests.bench.generator import read_answer
from tests.bench.server import HOST, Site

CHUNKS = 20  # rows come in so many pieces; in between some sign in, so that their sessions lie all over the table

_USERS = """
    INSERT INTO accounts_user (id, password, is_superuser, username, username_canonical, email, email_canonical, name, is_active,
        awaits_confirmation, is_staff, session_epoch, last_totp_step, created_at)
    SELECT gen_random_uuid(), one.password, false, 'bench-' || n, 'bench-' || n, 'bench-' || n || '@example.com',
        'bench-' || n || '@example.com', '', true, false, false, one.session_epoch, 0, now()
    FROM generate_series(%(first)s, %(last)s) n, (SELECT * FROM accounts_user WHERE username = 'bench-0') one"""
_SESSIONS = """
    INSERT INTO oauth_session (id, user_id, user_epoch, client_id, scope, generation, created_at, refreshed_at, expires_at, retry_digest,
        revoked_reason, audience, auth_time, amr, address, user_agent)
    SELECT gen_random_uuid(), chosen.id, chosen.session_epoch, app.id, 'api:read api:write', chosen.n, now() - interval '9 days', now(),
        now() + %(days_left)s * interval '1 day', sha256(chosen.n::text::bytea), '', '', now(), 'pwd',
        ('198.51.100.' || chosen.n %% 250)::inet, 'Mozilla/5.0 (X11; Linux x86_64) Bench/1'
    FROM (
        SELECT * FROM accounts_user TABLESAMPLE BERNOULLI (%(percent)s), generate_series(1, %(each)s) n
        WHERE username LIKE 'bench-%%' LIMIT %(number)s
    ) chosen, (SELECT id FROM oauth_client WHERE client_id = %(client)s) app"""


def grow(site: Site, *, users: int, sessions: int, opened: int, say: Callable[[str], None]) -> tuple[Site, list[bytes]]:
    """The site among so many; and the refresh tokens of so many sessions, in the order of their rows."""
    tokens: list[bytes] = []
    with psycopg.connect(site.database_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET synchronous_commit = off")
        for number in range(1, CHUNKS + 1):
            first, last = (site.users + (users - site.users) * each // CHUNKS for each in (number - 1, number))
            connection.execute(_USERS, {"first": first, "last": last - 1})
            add_sessions(connection, sessions * number // CHUNKS - sessions * (number - 1) // CHUNKS, among=last)
            tokens += _sign_in(site, opened * number // CHUNKS - len(tokens), users=last)
            say(f"{last} users, {sessions * number // CHUNKS} sessions")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return replace(site, users=users), tokens


def add_sessions(connection: psycopg.Connection, number: int, *, among: int, days_left: int = 21) -> None:
    """Of users from all over their table. Those with fewer than -30 days left are to be pruned."""
    each = -(-number // among)
    values = {
        "number": number,
        "each": each,
        "percent": min(100.0, 110 * number / each / among),
        "days_left": days_left,
        "client": kinds.PUBLIC_CLIENT,
    }
    connection.execute(_SESSIONS, values)


def anywhere(users: int, *, seed: int, of: int = 1, remainder: int = 0) -> Iterator[int]:
    """Numbers of users, drawn from all; of the `of` who draw no two draw the same."""
    dice = random.Random(seed)
    while True:
        yield dice.randrange(users // of) * of + remainder


def _sign_in(site: Site, number: int, *, users: int) -> list[bytes]:
    tokens = []
    signing_in = kinds.SignIn(kinds.Wire(HOST, "198.51.100.1"), users=anywhere(users, seed=users))
    with socket.create_connection(("127.0.0.1", site.served.port)) as sock:
        for _ in range(number):
            sock.sendall(signing_in.next())
            token = kinds.refresh_token_of(read_answer(sock).body)
            assert token is not None, "a sign-in before the load was refused"
            tokens.append(token)
    return tokens
