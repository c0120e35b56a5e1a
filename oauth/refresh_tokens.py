"""The refresh token: 52 characters that name a session and a generation, and prove that we issued them. Pure.

    base64url( version 1 · handle 16 random bytes · generation, big-endian, 4 bytes · tag 18 bytes )

The tag is HMAC-SHA256 over all that stands before it, cut to 144 bits. 39 bytes fill 52 characters
without padding, so each token has one spelling. Nothing of the handle is stored: the session's
id is a hash of it. The successor is derived, not drawn, so a lost answer can be given again.
"""

import base64
import binascii
import hashlib
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = 1
LENGTH = 52
HANDLE_BYTES = 16
TAG_BYTES = 18
MAX_GENERATION = 2**31 - 2

_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Malformed(ValueError):
    """No refresh token of ours."""


@dataclass(frozen=True, repr=False)  # SECURITY: no repr: a handle must not reach a log or a traceback.
class RefreshToken:
    handle: bytes
    generation: int

    @cached_property
    def session_id(self) -> uuid.UUID:
        return session_id(self.handle)

    def successor(self) -> "RefreshToken":
        return RefreshToken(self.handle, self.generation + 1)


def encode(token: RefreshToken, *, keys: Sequence[str]) -> str:
    """The token as the client sees it, under the first key."""
    body = _body(token)
    return base64.urlsafe_b64encode(body + _tag(body, keys[0])).decode()


def decode(value: str, *, keys: Sequence[str]) -> RefreshToken:
    """Raises Malformed unless the value is exactly what `encode` gave under one of the keys."""
    if len(value) != LENGTH or not _ALPHABET.issuperset(value):
        raise Malformed("not of the form of a refresh token")
    try:
        raw = base64.urlsafe_b64decode(value)
    except binascii.Error:
        raise Malformed("not base64url") from None
    body, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
    if body[0] != VERSION:
        raise Malformed("of an unknown version")
    # SECURITY: without the tag, whoever knows or guesses a handle could name any generation.
    if not any(hmac.compare_digest(tag, _tag(body, key)) for key in keys):
        raise Malformed("its tag is not ours")
    generation = int.from_bytes(body[1 + HANDLE_BYTES :], "big")
    if generation > MAX_GENERATION:
        raise Malformed("its generation is out of range")
    return RefreshToken(body[1 : 1 + HANDLE_BYTES], generation)


def session_id(handle: bytes) -> uuid.UUID:
    """The session's public id (`sid`): a version 8 UUID (RFC 9562 §5.8) of a hash of the handle."""
    digest = bytearray(hashlib.sha256(b"sid" + handle).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return uuid.UUID(bytes=bytes(digest))


def retry_digests(token: RefreshToken, *, client_id: str, attempt: str, keys: Sequence[str]) -> tuple[bytes, ...]:
    """What is stored of the attempt that spent `token`, so that its repetition is known: one digest per key, the first is for storing."""
    parts = (attempt.encode(), token.handle, token.generation.to_bytes(4, "big"), client_id.encode())
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return tuple(hmac.digest(_derive(key, b"retry"), message, "sha256") for key in keys)


def _body(token: RefreshToken) -> bytes:
    return bytes([VERSION]) + token.handle + token.generation.to_bytes(4, "big")


def _tag(body: bytes, key: str) -> bytes:
    return hmac.digest(_derive(key, b"tag"), body, "sha256")[:TAG_BYTES]


@cache
def _derive(key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"authserver refresh token " + purpose).derive(key.encode())
