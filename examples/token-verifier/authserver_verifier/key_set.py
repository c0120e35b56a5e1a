"""Reads a published key set (RFC 7517): the keys of it that may verify a token, by their kid."""

from collections.abc import Mapping
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from authserver_verifier.checking import ALGORITHM
from authserver_verifier.strict_json import parse_object

LEAST_BITS, MOST_BITS = 2048, 8192  # shorter ones are broken (RFC 7518 §3.3), longer ones only slow us down


def parse(document: bytes) -> dict[str, RSAPublicKey]:
    """Keys that are for something else are left out. Raises ValueError if none is left: an empty set would refuse everybody."""
    members = parse_object(document).get("keys")
    if not isinstance(members, list):
        raise ValueError("no key set")  # noqa: TRY004 - it is the document that is wrong
    keys = {member["kid"]: key for member in members if isinstance(member, dict) and (key := _find_key(member))}
    if not keys:
        raise ValueError("no key in it that verifies RS256")
    return keys


def _find_key(member: Mapping[str, Any]) -> RSAPublicKey | None:
    if not isinstance(member.get("kid"), str) or not _is_for_verifying(member):
        return None
    try:
        key = cast(RSAPublicKey, RSAAlgorithm.from_jwk(dict(member)))  # public: a member with `d` came no further than here
    except (jwt.InvalidKeyError, ValueError, TypeError, AttributeError):  # PyJWT reads each member as if it were text
        return None
    return key if LEAST_BITS <= key.key_size <= MOST_BITS else None


def _is_for_verifying(member: Mapping[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    # SECURITY: a key serves what it was published for, and a private one that was published serves nobody.
    return (
        member.get("kty") == "RSA"
        and member.get("use", "sig") == "sig"
        and member.get("alg", ALGORITHM) == ALGORITHM
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in member
    )
