"""Whether a token is one of this issuer for this audience, now (RFC 9068 §4). Pure: the key and the time are given."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.api_jws import PyJWS

from authserver_verifier.errors import InvalidToken
from authserver_verifier.strict_json import parse_object

ALGORITHM = "RS256"
MAX_CHARACTERS = 8192  # what a header of a request may hold at most places; ours are under 1500
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_OLDER_TYPE = "jwt"
_TEXTS = ("iss", "sub", "jti", "client_id")
_TIMES = ("exp", "iat")
_JWS = PyJWS()


@dataclass(frozen=True)
class Rules:
    """What a token must say.

    `leeway_seconds` is what the clocks of the two machines may differ by. 60 is what authserver itself grants; each second of it
    is one that an expired token lives on, so more than a minute needs a reason, and NTP on both sides makes do with less.
    `accept_older_tokens` also takes `typ: JWT`, as the service before authserver wrote it, if the claim `type` says "access".
    """

    issuer: str
    audience: str
    leeway_seconds: int = 60
    accept_older_tokens: bool = False


@dataclass(frozen=True)
class Header:
    """The two parts of a token's header that may differ from token to token."""

    kid: str
    typ: str


@dataclass(frozen=True)
class AccessToken:
    """A token that was found good. `subject` is the user's id, or the client_id of a client that acts for itself."""

    subject: str
    client_id: str
    scopes: frozenset[str]
    expires_at: int  # seconds since the epoch
    claims: Mapping[str, Any] = field(repr=False)


def read_header(token: str, *, rules: Rules) -> Header:
    """What the token says of itself, which proves nothing yet. Raises InvalidToken."""
    # SECURITY: nothing long is decoded, and nothing but three parts of ASCII.
    if len(token) > MAX_CHARACTERS or not token.isascii() or token.count(".") != 2:
        raise InvalidToken("no JWT of a size that we read")
    try:
        header = parse_object(_decoded(token.partition(".")[0]))
    except ValueError:
        raise InvalidToken("its header does not parse") from None
    # SECURITY: one algorithm, ours. `none`, and HS256 with the public key for a secret, end here (RFC 8725 §3.1).
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise InvalidToken("signed in a way that we do not take")
    kid, typ = header.get("kid"), header.get("typ")
    if not isinstance(kid, str) or not isinstance(typ, str):
        raise InvalidToken("no kid or no typ")
    # SECURITY: an id_token is signed with the same key and opens nothing (RFC 9068 §4).
    if typ.lower() not in _TYPES and not (rules.accept_older_tokens and typ.lower() == _OLDER_TYPE):
        raise InvalidToken("its typ is not that of an access token")
    return Header(kid, typ.lower())


def check(token: str, *, header: Header, key: RSAPublicKey, rules: Rules, now: float) -> AccessToken:
    """The token, if this key signed it and its claims fit. Raises InvalidToken."""
    try:
        claims = parse_object(_JWS.decode_complete(token, key, algorithms=[ALGORITHM])["payload"])
    except (jwt.InvalidTokenError, ValueError):
        raise InvalidToken("the signature does not fit, or what is signed are no claims") from None
    _ensure_complete(claims)
    if claims["iss"] != rules.issuer:
        raise InvalidToken("from another issuer than AUTH_ISSUER")
    # SECURITY: a token for another service must not open this one.
    if rules.audience not in _audiences(claims):
        raise InvalidToken("for another audience than AUTH_AUDIENCE")
    if claims.get("type", None if header.typ == _OLDER_TYPE else "access") != "access":
        raise InvalidToken("its type is not access")
    _ensure_current(claims, leeway=rules.leeway_seconds, now=now)
    return AccessToken(claims["sub"], claims["client_id"], frozenset(claims.get("scope", "").split()), claims["exp"], claims)


def _ensure_complete(claims: Mapping[str, Any]) -> None:
    if not all(isinstance(claims.get(name), str) and claims[name] for name in _TEXTS):
        raise InvalidToken("a claim is missing")
    if not all(type(claims.get(name)) is int for name in _TIMES) or type(claims.get("nbf", 0)) is not int:
        raise InvalidToken("a time is missing or no whole number")
    if not isinstance(claims.get("scope", ""), str):
        raise InvalidToken("its scope is no string")


def _audiences(claims: Mapping[str, Any]) -> list[Any]:
    audience = claims.get("aud")
    return audience if isinstance(audience, list) else [audience]


def _ensure_current(claims: Mapping[str, Any], *, leeway: int, now: float) -> None:
    if claims["exp"] + leeway <= now:
        raise InvalidToken("expired")
    if max(claims["iat"], claims.get("nbf", 0)) - leeway > now:
        raise InvalidToken("not yet valid: is a clock wrong?")


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("no base64url") from None
