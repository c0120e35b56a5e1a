"""Encrypt what must be read again: small secrets in the database, under KEY_ENCRYPTION_KEYS."""

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Undecryptable(Exception):
    """The value was encrypted under none of KEY_ENCRYPTION_KEYS, for another purpose, or was changed."""


def encrypt(value: bytes, *, purpose: str) -> str:
    """Under the first of the keys. `purpose` keeps apart what is stored in different places: each has a key of its own."""
    return _encryption(purpose).encrypt(value).decode()


def decrypt(value: str, *, purpose: str) -> bytes:
    """Under whichever of the keys it was. Raises Undecryptable."""
    try:
        return _encryption(purpose).decrypt(value)
    except InvalidToken:
        raise Undecryptable(purpose) from None


def _encryption(purpose: str) -> MultiFernet:
    return MultiFernet([_fernet(key, purpose) for key in settings.KEY_ENCRYPTION_KEYS])


@cache
def _fernet(key: str, purpose: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
