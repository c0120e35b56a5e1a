"""What a person typed as user name or e-mail, turned into the one form that is compared and unique."""

import unicodedata

MAX_LENGTH = 254  # of an e-mail address (RFC 5321 §4.5.3.1.3, as corrected)

# Not of a category that is refused below, and yet nothing is seen of them.
_INVISIBLE = frozenset("\U0001d159\U00016fe4\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code) for code in (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class InvalidIdentifier(ValueError):
    """The text cannot name a user. Its message is for the person who typed it."""


def canonical(value: str) -> str:
    """The canonical form of a user name or e-mail: trimmed, NFKC, case folded. Applying it again changes nothing.

    Raises InvalidIdentifier for nothing, for too much, and for characters that cannot be seen:
    two names that look alike to a person would be two users.
    """
    trimmed = value.strip()
    if not trimmed:
        raise InvalidIdentifier("Enter a user name or an e-mail address.")
    if len(trimmed) > MAX_LENGTH:
        raise InvalidIdentifier(f"A user name or e-mail address has at most {MAX_LENGTH} characters.")
    ensure_visible(trimmed)
    # Folding may leave a form that composes further, and the other way round: repeat until it stands still.
    previous, current = trimmed, _fold(trimmed)
    while current != previous:
        previous, current = current, _fold(current)
    ensure_visible(current)
    if not current or len(current) > MAX_LENGTH:
        raise InvalidIdentifier(f"A user name or e-mail address has at most {MAX_LENGTH} characters.")
    return current


def canonical_username(value: str) -> str:
    """Raises InvalidIdentifier also for `@`, by which an e-mail address is known, and for white space."""
    name = canonical(value)
    if "@" in name:
        raise InvalidIdentifier("A user name has no @: that is how it is told from an e-mail address.")
    if any(character.isspace() for character in name):
        raise InvalidIdentifier("A user name has no spaces.")
    return name


def canonical_email(value: str) -> str:
    email = canonical(value)
    local, _, domain = email.rpartition("@")
    if not local or not domain or any(character.isspace() for character in email):
        raise InvalidIdentifier("Enter an e-mail address, such as alice@example.com.")
    return email


CANONICAL = {"username": canonical_username, "email": canonical_email}


def is_email(canonical_value: str) -> bool:
    return "@" in canonical_value


def ensure_visible(value: str) -> None:
    for character in value:
        if character in _INVISIBLE or unicodedata.category(character) in _REFUSED_CATEGORIES:
            raise InvalidIdentifier(f"The character U+{ord(character):04X} cannot be seen and is not allowed in a name.")


def _fold(value: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold()).strip()
