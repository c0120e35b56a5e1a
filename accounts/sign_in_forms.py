"""The forms of the pages that sign people in: allauth's, with our counters, our audit and our words."""

from typing import Any

from allauth.account.forms import LoginForm, ReauthenticateForm
from allauth.core import context
from allauth.mfa.base.forms import BaseAuthenticateForm
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY, generate_totp_secret
from allauth.mfa.utils import decrypt, encrypt
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm, LoginWebAuthnForm, ReauthenticateWebAuthnForm, _BaseAddWebAuthnForm
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, metrics, second_factors, throttling
from accounts.actors import actor_of
from accounts.identifiers import MAX_LENGTH
from accounts.lockout import Busy, Locked
from accounts.models import User
from accounts.sign_in_adapters import note_second_factor
from accounts.throttling import Throttled

THROTTLED = _("Too many failed attempts from your network. Try again later.")
LOCKED = _("Too many failed attempts. Try again later.")
WRONG_CODE = _("This code does not work. It is mistyped, too old, or was used already.")
PLAIN = {"autocapitalize": "none", "spellcheck": "false"}


class SignInForm(LoginForm):
    """One answer for whatever is wrong: an unknown name, a wrong password, a lock, no member of staff."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = forms.TextInput(attrs={"autocomplete": "username webauthn", "autofocus": True, **PLAIN})
        self.fields["login"] = forms.CharField(label=_("User name or e-mail"), widget=name, max_length=MAX_LENGTH)
        self.fields["password"].widget.attrs.pop("placeholder", None)
        self.fields["password"].help_text = ""
        self.order_fields(["login", "password"])

    def clean(self) -> dict[str, Any]:
        try:
            cleaned: dict[str, Any] = super().clean()
        except Throttled:
            raise ValidationError(THROTTLED, code="throttled") from None
        return cleaned


class PasswordAgainForm(ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].widget.attrs |= {"autofocus": True, "placeholder": ""}
        self.fields["password"].help_text = ""

    def clean_password(self) -> str:
        try:
            password: str = super().clean_password()
        except Throttled:
            raise ValidationError(THROTTLED, code="throttled") from None
        return password


class CodeForm(BaseAuthenticateForm):
    """A code of the authenticator app, or a recovery code."""

    proves_again = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "inputmode": "numeric", **PLAIN})
        self.fields["code"] = forms.CharField(label=_("Code"), widget=field, max_length=32)

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        try:
            self.authenticator = second_factors.verify_code(self.user, code, actor=actor_of(context.request), now=clock.now())
        except second_factors.WrongCode:
            raise ValidationError(WRONG_CODE, code="wrong") from None
        except (Locked, Busy):
            raise ValidationError(LOCKED, code="locked") from None
        except Throttled:
            raise ValidationError(THROTTLED, code="throttled") from None
        self.authenticator.user = self.user
        return code

    def save(self) -> None:
        _accept(self.authenticator, proves_again=self.proves_again)


class CodeAgainForm(CodeForm):
    proves_again = True


class _CountedPasskey(forms.Form):
    """Failures count against the address: a signature cannot be guessed, so no name is locked by one."""

    user: User | None
    proves_again = False

    def clean_credential(self) -> Authenticator:
        actor = actor_of(context.request)
        try:
            throttling.ensure_left(throttling.FAILED_PASSWORDS, address=actor["address"])
            authenticator: Authenticator = super().clean_credential()  # type: ignore[misc] # of the form beside it
        except Throttled:
            raise ValidationError(THROTTLED, code="throttled") from None
        except ValidationError:
            throttling.record(throttling.FAILED_PASSWORDS, address=actor["address"])
            metrics.FAILED_SIGN_INS.labels("passkey", "wrong passkey").inc()
            target = "" if self.user is None else self.user.pk
            audit.record("user:second_factor:failed", target=target, detail={"reason": "wrong passkey"}, **actor | {"actor_id": None})
            raise ValidationError(_("This passkey was not accepted."), code="wrong") from None
        return authenticator


class PasskeyForm(_CountedPasskey, AuthenticateWebAuthnForm):
    def save(self) -> None:
        _accept(self.cleaned_data["credential"], proves_again=self.proves_again)


class PasskeyAgainForm(_CountedPasskey, ReauthenticateWebAuthnForm):
    """Its view tells allauth by itself."""


class PasskeyAloneForm(_CountedPasskey, LoginWebAuthnForm):
    """Instead of name and password: the device has asked for a finger or a PIN."""


class NewPasskeyForm(_BaseAddWebAuthnForm):
    """Every passkey signs in by itself, so every device asks for a finger, a face or a PIN."""

    name = forms.CharField(label=_("Name"), required=False, max_length=64, help_text=_("To tell it from others, such as “laptop”."))


class NewAuthenticatorForm(forms.Form):
    """The first code of an authenticator app proves that it has the seed; the seed waits in the session, encrypted."""

    code = forms.CharField(
        label=_("Code from the app"),
        max_length=32,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "inputmode": "numeric", **PLAIN}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        session = context.request.session
        if not self.is_bound or SECRET_SESSION_KEY not in session:
            # SECURITY: encrypted: sessions are rows, and a copy of them would have every seed that was enrolled meanwhile.
            session[SECRET_SESSION_KEY] = encrypt(generate_totp_secret())
        self.secret = decrypt(session[SECRET_SESSION_KEY])

    def clean_code(self) -> str:
        code = "".join(self.cleaned_data["code"].split())
        step = second_factors.step_of(self.secret, code, now=clock.now())
        if step is None or not second_factors.spend_step(self.user, step):
            raise ValidationError(WRONG_CODE, code="wrong")
        return code


def _accept(authenticator: Authenticator, *, proves_again: bool) -> None:
    """A second factor was right: allauth's record, ours, and the session's."""
    request, user = context.request, authenticator.user
    post_authentication(request, authenticator, reauthenticated=proves_again)
    note_second_factor(request, user)
    second_factors.record("used", authenticator.type, user=user, actor=actor_of(request))
    if proves_again:
        detail = {"by": second_factors.KINDS[authenticator.type]}
        audit.record("user:reauthentication:succeeded", target=user.pk, detail=detail, **actor_of(request))
    else:
        request.session["signing_in_by"] = second_factors.KINDS[authenticator.type]
