"""The tokens of one signed-in user."""

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Self

import httpx

from authserver_client.errors import AuthError, members

EARLY_SECONDS = 60  # a token that expires on its way helps nobody


@dataclass(frozen=True)
class Tokens:
    """As a store keeps them. `expires_at` is in seconds since 1970; `refresh_token` is empty for a client that gets none.

    `refresh_key` is the Idempotency-Key of the one refresh that spends `refresh_token`. It is made and stored together with it, so that
    whoever holds the store can repeat this refresh: after a lost answer, after a crash, in another process.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scope: str
    expires_in: int
    expires_at: float
    refresh_key: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))

    @classmethod
    def answered(cls, response: httpx.Response, *, sent_at: float) -> Self:
        """`sent_at` is the reading of time.monotonic() before the request: the life of a token begins while it is still on its way."""
        body = members(response)
        if "access_token" not in body or not isinstance(body.get("expires_in"), int):
            raise AuthError(f"{response.url.path} was answered without tokens: is base_url that of authserver?")
        age = time.monotonic() - sent_at
        return cls(
            access_token=body["access_token"],
            refresh_token=body.get("refresh_token", ""),
            scope=body.get("scope", ""),
            expires_in=body["expires_in"],
            expires_at=time.time() - age + body["expires_in"],
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, which does not quote the text."""
        try:
            stored = json.loads(text)
        except ValueError:
            stored = None
        if not isinstance(stored, dict) or stored.keys() != {each.name for each in fields(cls)}:
            raise ValueError("What is stored are no tokens of this version: sign in again.")
        return cls(**stored)


@dataclass
class Held:
    """Tokens in memory, whose time is counted with time.monotonic(): a clock that is set does not change it."""

    tokens: Tokens
    expires_at: float
    renew_at: float

    @classmethod
    def of(cls, tokens: Tokens) -> Self:
        left = min(tokens.expires_at - time.time(), tokens.expires_in)
        expires_at = time.monotonic() + left
        return cls(tokens, expires_at, renew_at=expires_at - min(EARLY_SECONDS, tokens.expires_in / 2))

    def serves(self, refused: str | None) -> bool:
        """Whether the access token is good for a while, and not the one that an API has refused."""
        return self.tokens.access_token != refused and time.monotonic() < self.renew_at
