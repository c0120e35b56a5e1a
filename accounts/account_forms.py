"""The forms by which people change their own account: what is wrong is said at its field, the current password is proved last."""

import unicodedata
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import current_password, email_change, passwords
from accounts.actors import actor_of
from accounts.current_password import TooManyAttempts, WrongPassword
from accounts.hash_slots import Full
from accounts.identifiers import MAX_LENGTH, InvalidIdentifier
from accounts.models import User
from accounts.sign_in_forms import LOCKED, THROTTLED
from accounts.throttling import Throttled

WRONG = _("This is not your password.")
BUSY = _("The server cannot answer right now. Try again shortly.")
DIFFER = _("The two passwords differ. Enter the same one twice.")
NO_ADDRESS = _("This is no e-mail address. Enter one such as alice@example.com.")


class PlainField(forms.CharField):
    """A text of one line, in NFC, as the JSON API takes it: without control characters."""

    default_error_messages = {"unprintable": _("Control characters are not allowed.")}

    def to_python(self, value: Any) -> str:
        text = unicodedata.normalize("NFC", super().to_python(value) or "")
        if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
            raise ValidationError(self.error_messages["unprintable"], code="unprintable")
        return text


class AddressField(PlainField):
    def __init__(self, **kwargs: Any) -> None:
        widget = forms.EmailInput(attrs={"autocomplete": "email"})
        super().__init__(max_length=MAX_LENGTH, widget=widget, **kwargs)

    def clean(self, value: Any) -> str:
        email = str(super().clean(value))
        try:
            email_change.ensure_deliverable(email)
        except InvalidIdentifier:
            raise ValidationError(NO_ADDRESS, code="invalid") from None
        return email


class PasswordField(forms.CharField):
    """A password exactly as it was typed."""

    def __init__(self, *, autocomplete: str, **kwargs: Any) -> None:
        widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
        super().__init__(strip=False, widget=widget, **kwargs)


class ProfileForm(forms.Form):
    name = PlainField(
        label=_("Your name"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        help_text=_("How apps call you. It may be empty."),
    )


class _ProvedForm(forms.Form):
    """Once everything else is right, the password that is valid now. `proved` is the user as they proved it."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(request.user, User)  # noqa: S101 - for the type checker
        self.request, self.user = request, request.user

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                self.proved = current_password.verify(
                    self.user, password=cleaned["current_password"], door="browser", actor=actor_of(self.request)
                )
            except WrongPassword:
                self.add_error("current_password", ValidationError(WRONG, code="wrong"))
            except TooManyAttempts:
                self.add_error("current_password", ValidationError(LOCKED, code="locked"))
            except Throttled:
                self.add_error("current_password", ValidationError(THROTTLED, code="throttled"))
        return cleaned


class EmailForm(_ProvedForm):
    email = AddressField(
        label=_("New e-mail address"), help_text=_("A mail with a code goes there. The address is yours once you confirm it.")
    )
    current_password = PasswordField(label=_("Current password"), autocomplete="current-password")


class PasswordForm(_ProvedForm):
    """`encoded` is what is stored of the new one."""

    current_password = PasswordField(label=_("Current password"), autocomplete="current-password")
    new_password = PasswordField(label=_("New password"), autocomplete="new-password")
    again = PasswordField(label=_("New password again"), autocomplete="new-password")

    def clean_new_password(self) -> str:
        return _allowed(self.cleaned_data["new_password"], user=self.user)

    def clean(self) -> dict[str, Any]:
        ensure_same(self, "new_password")
        cleaned = super().clean()
        if not self.errors:
            try:
                self.encoded = passwords.encode(cleaned["new_password"])
            except Full:
                self.add_error(None, ValidationError(BUSY, code="busy"))
        return cleaned


def ensure_same(form: forms.Form, name: str) -> None:
    """An error at `again` unless it is what was typed into the field before."""
    first, second = form.cleaned_data.get(name), form.cleaned_data.get("again")
    if first is not None and second is not None and first != second:
        form.add_error("again", ValidationError(DIFFER, code="differ"))


def _allowed(password: str, *, user: User) -> str:
    try:
        passwords.ensure_allowed(password, user=user)
    except passwords.Refused as refusal:
        raise ValidationError(refusal.reasons) from None
    return password
