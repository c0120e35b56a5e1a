"""Mint and read id_tokens: what the client itself may know of a sign-in (OpenID Connect Core 1.0 §2). Pure: key and time are given."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from jwt.api_jws import PyJWS

from oauth.access_tokens import SessionClaims, Signer, VerificationKey
from oauth.errors import InvalidToken

TYPE = "JWT"
MULTIPLE_FACTORS = frozenset({"mfa", "user"})
_JWS = PyJWS()


@dataclass(frozen=True)
class IdentityClaims:
    """What an id_token that came back says: whose, for whom, and of which session."""

    user_id: UUID
    client_id: str
    session_id: UUID


def mint(
    *,
    signer: Signer,
    issuer: str,
    client_id: str,
    user_id: UUID,
    session: SessionClaims,
    nonce: str,
    access_token: str,
    lifetime: timedelta,
    now: datetime,
) -> str:
    """A signed id_token. `nonce` is empty when the request had none; times are whole seconds."""
    issued_at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": str(user_id),
        "aud": client_id,
        "azp": client_id,
        "iat": issued_at,
        "exp": issued_at + int(lifetime.total_seconds()),
        "auth_time": int(session.auth_time.timestamp()),
        "amr": list(session.amr),
        "acr": acr_of(session.amr),
        "at_hash": _half_hash(access_token, algorithm=signer.algorithm),
        "sid": str(session.sid),
        "type": "id",  # no gateway that asks for `access` takes it for an access token
    }
    if nonce:
        claims["nonce"] = nonce
    return jwt.encode(claims, signer.private_key, algorithm=signer.algorithm, headers={"typ": TYPE, "kid": signer.kid})


def acr_of(amr: Any) -> str:
    """ "2" when two factors, or a passkey that asked for a finger or a PIN, proved who it is; else "1"."""
    return "2" if MULTIPLE_FACTORS & frozenset(amr) else "1"


def read_hint(value: str, *, keys: Mapping[str, VerificationKey], issuer: str) -> IdentityClaims:
    """An id_token of ours, however old (RP-Initiated Logout 1.0 §4). Raises InvalidToken, also when its key is gone."""
    try:
        header = _JWS.get_unverified_header(value)
        # SECURITY: the key comes from our own set, and the algorithm with the key: the token chooses neither.
        key = keys.get(header.get("kid") or "")
        if key is None or header.get("typ") != TYPE:
            raise InvalidToken("no id_token, or of a key that is gone")
        claims = json.loads(_JWS.decode_complete(value, key.public_key, algorithms=[key.algorithm])["payload"])
        if claims["iss"] != issuer or claims["type"] != "id":
            raise InvalidToken("not an id_token of ours")
        return IdentityClaims(UUID(claims["sub"]), claims["aud"], UUID(claims["sid"]))
    except (jwt.InvalidTokenError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidToken(f"not an id_token of ours: {type(error).__name__}") from error


def _half_hash(value: str, *, algorithm: str) -> str:
    """OpenID Connect Core 1.0 §3.1.3.6, with the hash of the signature's algorithm."""
    digest = hashlib.sha512 if algorithm == "EdDSA" else hashlib.sha256
    whole = digest(value.encode("ascii")).digest()
    return base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode("ascii")
