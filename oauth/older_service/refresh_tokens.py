"""The refresh tokens of the older service: JWTs that it signed, each the first token of a session that the import opened. Pure.

The import knows SHA-256 of the token's `jti`, and who presents the token knows the `jti`. Both lead to one handle, so an older token
stands for generation 0 of its session: it is spent by the statement that spends ours, once, with the same mercies and the same end for
who presents it again. When it expires, and whose it is, is in the session's row.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jwt
from jwt.api_jws import PyJWS

from oauth.refresh_tokens import HANDLE_BYTES, Malformed, RefreshToken

MAX_LENGTH = 4096
_ALGORITHM = "RS256"
_JWS = PyJWS()


def looks_like_one(value: str) -> bool:
    """Whether it has the form of a JWT; ours have no dot."""
    return value.count(".") == 2 and len(value) <= MAX_LENGTH


def decode(value: str, *, keys: Mapping[str, Any], issuer: str, audience: str) -> RefreshToken:
    """The token of our own that it stands for. `keys` are public RSA keys by `kid`. Raises Malformed."""
    try:
        header = _JWS.get_unverified_header(value)
        # SECURITY: the key is one that was imported, and the algorithm is the older service's: the token chooses neither.
        key = keys[header["kid"]]
        claims = json.loads(_JWS.decode_complete(value, key, algorithms=[_ALGORITHM])["payload"])
        kind, jti, named = claims["type"], claims["jti"], (claims["iss"], claims["aud"])
    except (jwt.InvalidTokenError, ValueError, KeyError, TypeError):
        raise Malformed("not signed by a key of the older service") from None
    # SECURITY: its access tokens are signed by the same key, and every backend has seen them.
    if kind != "refresh" or not isinstance(jti, str) or named != (issuer, audience):
        raise Malformed("of the older service, and no refresh token for this issuer and audience")
    return first_of(hashlib.sha256(jti.encode()).digest())


def first_of(jti_digest: bytes) -> RefreshToken:
    """The token that a session begins with, by SHA-256 of the older token's `jti`."""
    return RefreshToken(hashlib.sha256(b"older refresh token" + jti_digest).digest()[:HANDLE_BYTES], generation=0)
