"""Many sessions at once: copies of one that a sign-in has opened, with tokens that we can make."""

import secrets
from uuid import UUID

import psycopg

from oauth.refresh_tokens import RefreshToken, encode

COPY = """
INSERT INTO oauth_session SELECT (jsonb_populate_record(one, jsonb_build_object('id', copy))).*
FROM oauth_session one, unnest(%s::uuid[]) copy WHERE one.id = (SELECT id FROM oauth_session ORDER BY created_at DESC LIMIT 1)
"""


def copies(url: str, *, number: int, keys: str) -> list[str]:
    """The refresh tokens of so many copies of the newest session; `keys` is the server's AUTH_SERVICE__TOKEN_KEYS."""
    tokens = [RefreshToken(secrets.token_bytes(16), 0) for _ in range(number)]
    ids: list[UUID] = [token.session_id for token in tokens]
    with psycopg.connect(url) as connection:
        connection.execute(COPY, [ids])
    return [encode(token, keys=[keys]) for token in tokens]
