"""The one form of a password that is hashed, which passwords are taken, and their change."""

import unicodedata
from collections.abc import Sequence
from typing import ClassVar

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.translation import get_language

from accounts import audit, epochs, outbox
from accounts.actors import Actor
from accounts.hash_slots import slots
from accounts.models import User

MAX_BYTES = 1024
MAX_CHARACTERS = 128


class Refused(Exception):
    """A password that the policy does not take; `reasons` are for whoever chose it."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("refused by the password policy")
        self.reasons = list(reasons)


def normalized(password: str) -> str:
    """NFC (RFC 8265 §4.2.2): the same password from another keyboard has the same bytes. Nothing is trimmed or cut."""
    # SECURITY: the time of NFC grows with the square of the marks on one letter. No four characters become less than one
    # byte, so what is longer is too long in any form, and is never hashed.
    return password if len(password) > 4 * MAX_BYTES else unicodedata.normalize("NFC", password)


def is_too_long(password: str) -> bool:
    """Longer than is ever hashed, in bytes."""
    return len(normalized(password).encode("utf-8", "surrogatepass")) > MAX_BYTES


def ensure_allowed(password: str, *, user: User) -> None:
    """Raises Refused for a password that this user may not choose. Computes no hash."""
    try:
        validate_password(normalized(password), user)
    except ValidationError as error:
        raise Refused(error.messages) from None


def encode(password: str) -> str:
    """What is stored of it. Raises hash_slots.Full."""
    with slots.admit(), slots.take():
        return slots.compute(make_password, normalized(password))


def change(user: User, *, encoded: str, actor: Actor, client_id: str) -> int:
    """Give the user, as they were when they proved the old one, another password, in the caller's transaction; their new epoch.

    It ends every session that is not taken along (oauth.own_sessions.keep), and voids the codes that were sent to them.
    Raises epochs.Stale.
    """
    epoch = epochs.begin(user, password=encoded)
    # SECURITY: or a code that a thief had sent to themself outlives the password that was changed because of them.
    outbox.withdraw(user)
    audit.record("user:password:changed", target=user.pk, client_id=client_id, detail={"by": "user"}, **actor)
    return epoch


def store(user: User) -> None:
    """Write the password that was set on `user`, and raise the epoch of the row, whatever else was written since it was read."""
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(password=user.password, session_epoch=F("session_epoch") + 1)
        # SECURITY: as in `change`.
        outbox.withdraw(user)
    user.refresh_from_db(fields=("password", "session_epoch"))


class PrintableValidator:
    """A validator of AUTH_PASSWORD_VALIDATORS: what a door refuses to read could never sign in there (oauth.http, accounts.bodies)."""

    TEXTS: ClassVar[dict[str, str]] = {
        "en": "Your password may hold no control characters.",
        "ru": "Пароль не должен содержать управляющих символов.",
    }

    def validate(self, password: str, user: User | None = None) -> None:
        if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in password):
            raise ValidationError(self.get_help_text(), code="password_unprintable")

    def get_help_text(self) -> str:
        return self.TEXTS.get(get_language() or "", self.TEXTS["en"])


class MaximumLengthValidator:
    """A validator of AUTH_PASSWORD_VALIDATORS."""

    TEXTS: ClassVar[dict[str, str]] = {
        "en": f"Your password may have at most {MAX_CHARACTERS} characters.",
        "ru": f"Пароль не должен быть длиннее {MAX_CHARACTERS} символов.",
    }

    def validate(self, password: str, user: User | None = None) -> None:
        if len(password) > MAX_CHARACTERS or is_too_long(password):
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return self.TEXTS.get(get_language() or "", self.TEXTS["en"])
