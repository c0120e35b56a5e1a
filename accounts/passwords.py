"""The one form of a password that is hashed, and how much of it is let in."""

import unicodedata

MAX_BYTES = 1024


def normalized(password: str) -> str:
    """NFC (RFC 8265 §4.2.2): the same password from another keyboard has the same bytes. Nothing is trimmed or cut."""
    return unicodedata.normalize("NFC", password)


def is_too_long(password: str) -> bool:
    """Longer than is ever hashed, in bytes."""
    return len(normalized(password).encode("utf-8", "surrogatepass")) > MAX_BYTES
