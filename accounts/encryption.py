"""Secrets that have to be read again rest encrypted under KEY_ENCRYPTION_KEYS: the first of them encrypts, all of them decrypt (Fernet).

Each purpose has keys of its own, so that what was stored for one opens for no other.
"""

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Undecryptable(Exception):
    """What is stored opens with none of the keys, or was changed."""


def encrypt(value: bytes, *, purpose: str) -> str:
    return _fernets(purpose)[0].encrypt(value).decode()


def decrypt(stored: str, *, purpose: str) -> bytes:
    """Raises Undecryptable."""
    try:
        return MultiFernet(_fernets(purpose)).decrypt(stored.encode())
    except InvalidToken:
        raise Undecryptable(f"{purpose}: does not open with AUTH_SERVICE__KEY_ENCRYPTION_KEYS") from None


def renew(stored: str, *, purpose: str) -> str | None:
    """The same under the first of the keys; None when it is already. Raises Undecryptable."""
    try:
        _fernets(purpose)[0].decrypt(stored.encode())
    except InvalidToken:
        return encrypt(decrypt(stored, purpose=purpose), purpose=purpose)
    return None


def _fernets(purpose: str) -> list[Fernet]:
    return [_fernet(key, purpose) for key in settings.KEY_ENCRYPTION_KEYS]


@cache
def _fernet(key: str, purpose: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"authserver {purpose}".encode()).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
