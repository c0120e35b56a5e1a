"""Mint and verify access tokens (RFC 9068). Pure: the key and the time are given."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from jwt.api_jws import PyJWS

from oauth.errors import InvalidToken

TYPE = "at+jwt"
NOT_BEFORE_LEEWAY = 30
_HEADERS = frozenset({"alg", "typ", "kid"})
_JWS = PyJWS()
_REQUIRED_INTEGERS = ("iat", "exp", "nbf")
_REQUIRED_STRINGS = ("iss", "sub", "aud", "client_id", "scope", "jti")


@dataclass(frozen=True)
class Signer:
    """A private key that is parsed already, under the name that verifiers know it by."""

    kid: str
    algorithm: str
    private_key: Any


@dataclass(frozen=True)
class VerificationKey:
    """A published key, and the one algorithm that it is for."""

    algorithm: str
    public_key: Any


@dataclass(frozen=True)
class SessionClaims:
    """What a token says of the sign-in behind it; a client's own token has none of it."""

    sid: UUID
    roles: Sequence[str]
    auth_time: datetime
    amr: Sequence[str]


def mint(
    *,
    signer: Signer,
    issuer: str,
    audience: str,
    subject: str,
    client_id: str,
    scope: str,
    lifetime: timedelta,
    now: datetime,
    session: SessionClaims | None,
) -> str:
    """A signed access token. Times are whole seconds; `nbf` lies 30 s back for verifiers whose clock is behind."""
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "client_id": client_id,
        "scope": scope,
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
        "nbf": issued_at - NOT_BEFORE_LEEWAY,
        "jti": secrets.token_urlsafe(16),
        "type": "access",  # asked for by gateways of the older service
    }
    if session is not None:
        claims |= {
            "sid": str(session.sid),
            "roles": list(session.roles),
            "auth_time": int(session.auth_time.timestamp()),
            "amr": list(session.amr),
        }
    return jwt.encode(claims, signer.private_key, algorithm=signer.algorithm, headers={"typ": TYPE, "kid": signer.kid})


def verify(
    value: str, *, keys: Mapping[str, VerificationKey], issuer: str, audience: str | None, leeway: timedelta, now: datetime
) -> dict[str, Any]:
    """The claims of an access token of this issuer for this audience (RFC 9068 §4). Raises InvalidToken.

    `keys` are those that verify at this moment, by their `kid`.
    `audience` None leaves `aud` to the caller, who has to look at it before acting on the token.
    """
    try:
        header = _JWS.get_unverified_header(value)
        _ensure_header(header)
        # SECURITY: the key comes from our own set, and the algorithm with the key: the token chooses neither.
        key = keys.get(header["kid"])
        if key is None:
            raise InvalidToken("unknown kid")
        payload = _JWS.decode_complete(value, key.public_key, algorithms=[key.algorithm])["payload"]
        claims = json.loads(payload, object_pairs_hook=_without_duplicates)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise InvalidToken(f"not a token of ours: {type(error).__name__}") from error
    _ensure_claims(claims, issuer=issuer, audience=audience, leeway=leeway, now=now)
    return dict(claims)


def _ensure_header(header: Mapping[str, Any]) -> None:
    # SECURITY: an id_token or a foreign JWT is no access token (RFC 9068 §4); jku, x5u, jwk and crit have no place here.
    if header.get("typ") != TYPE or set(header) != _HEADERS or not isinstance(header["kid"], str):
        raise InvalidToken("header is not that of an access token")


def _ensure_claims(claims: Any, *, issuer: str, audience: str | None, leeway: timedelta, now: datetime) -> None:
    if not isinstance(claims, dict):
        raise InvalidToken("claims are no object")
    if not all(type(claims.get(name)) is int for name in _REQUIRED_INTEGERS):
        raise InvalidToken("a time claim is missing")
    if not all(isinstance(claims.get(name), str) for name in _REQUIRED_STRINGS):
        raise InvalidToken("a claim is missing")
    if claims["iss"] != issuer or claims.get("type") != "access":
        raise InvalidToken("issuer or type is not ours")
    # SECURITY: None alone leaves the audience open, and has to be said; an empty one fits no token.
    if audience is not None and claims["aud"] != audience:
        raise InvalidToken("audience is not ours")
    seconds, slack = now.timestamp(), leeway.total_seconds()
    if claims["exp"] + slack <= seconds:
        raise InvalidToken("expired")
    if claims["nbf"] - slack > seconds or claims["iat"] - slack > seconds:
        raise InvalidToken("not yet valid")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a claim is there twice")
    return result
