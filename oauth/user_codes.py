"""The short codes that a device shows and a person types (RFC 8628 §6.1): drawn, read back as typed, and digested. Pure."""

import hmac
import secrets
import unicodedata
from collections.abc import Sequence
from functools import cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# Without vowels no word comes out, and without digits nothing looks like a letter: 20 ** 8 codes, 34 bits.
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8

# What people type for a letter that looks the same, on a keyboard of another script too.
_LOOKS_LIKE = str.maketrans("0O1I2568UВСНКМРТХ", "QQLLZSGBVBCHKMPTX")  # noqa: RUF001 - that is the point


class Malformed(ValueError):
    """No code of ours can have been meant."""


def draw() -> str:
    """A new one, as people are shown it: XXXX-XXXX."""
    # SECURITY: of the system's randomness: who can foresee a code has somebody else's device let in.
    return spell("".join(secrets.choice(ALPHABET) for _ in range(LENGTH)))


def spell(letters: str) -> str:
    return f"{letters[: LENGTH // 2]}-{letters[LENGTH // 2 :]}"


def parse(typed: str) -> str:
    """The code that was meant, as XXXX-XXXX: in any case, dash or not, in letters that look alike. Raises Malformed."""
    if len(typed) > LENGTH * 4:
        raise Malformed
    plain = unicodedata.normalize("NFKC", typed).upper().translate(_LOOKS_LIKE)
    letters = "".join(letter for letter in plain if letter.isalnum())
    if len(letters) != LENGTH or not set(letters) <= set(ALPHABET):
        raise Malformed
    return spell(letters)


def digests(code: str, *, keys: Sequence[str]) -> tuple[bytes, ...]:
    """What is stored of it: one digest for each key, the first is for storing.

    Keyed, because who has a copy of the table could try out all the codes there are in a minute.
    """
    return tuple(hmac.digest(_derive(key), code.encode(), "sha256") for key in keys)


@cache
def _derive(key: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"authserver user codes").derive(key.encode())
