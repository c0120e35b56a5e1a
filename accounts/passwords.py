"""The one form of a password that is hashed, how much of it is let in, and its change."""

import unicodedata

from django.core.exceptions import ValidationError
from django.db.models import F

from accounts.models import User

MAX_BYTES = 1024
MAX_CHARACTERS = 128


def normalized(password: str) -> str:
    """NFC (RFC 8265 §4.2.2): the same password from another keyboard has the same bytes. Nothing is trimmed or cut."""
    return unicodedata.normalize("NFC", password)


def is_too_long(password: str) -> bool:
    """Longer than is ever hashed, in bytes."""
    return len(normalized(password).encode("utf-8", "surrogatepass")) > MAX_BYTES


def store(user: User) -> None:
    """Write the password that was set on `user`, and raise the epoch of the row, whatever else was written since it was read."""
    User.objects.filter(pk=user.pk).update(password=user.password, session_epoch=F("session_epoch") + 1)
    user.refresh_from_db(fields=("password", "session_epoch"))


class MaximumLengthValidator:
    """A validator of AUTH_PASSWORD_VALIDATORS."""

    def validate(self, password: str, user: User | None = None) -> None:
        if len(password) > MAX_CHARACTERS or is_too_long(password):
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"Your password may have at most {MAX_CHARACTERS} characters."
