"""What allauth asks of us: whom it lets in, what it stores in clear, and what it says."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth import login
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit, authentication, browser_sessions, current_password, encryption, next_page, recent_sign_in, second_factors
from accounts.actors import actor_of
from accounts.authentication import AuthenticationFailed
from accounts.current_password import TooManyAttempts, WrongPassword
from accounts.models import User

# Of whom the session's second factor was; what a page of the admin asks for.
PROVED_BY_SECOND_FACTOR = "proved_by_second_factor"


class AccountAdapter(DefaultAccountAdapter):
    """Sign-in with our own passwords, lockout and audit; accounts are made by accounts.registration."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _(
            "Name or password is wrong, or the account cannot be used. After several failed attempts the name is locked for a while."
        ),
        "incorrect_password": _("This is not your password, or there were too many attempts."),
    }

    def is_safe_url(self, url: str | None) -> bool:
        return url is not None and next_page.is_ours(url)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return next_page.first_page_of(request.user) if isinstance(request.user, User) else "/"

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Attempts are counted by accounts.lockout alone."""

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        """The end of every sign-in. Whoever has no second factor has been recorded with the password."""
        assert isinstance(user, User)  # noqa: S101 - for the type checker
        by = request.session.pop("signing_in_by", None)
        if by is not None:
            try:
                authentication.record_browser_sign_in(user, by=by, actor=actor_of(request))
            except AuthenticationFailed:
                raise PermissionDenied from None
        login(request, user, backend="accounts.authentication.Backend")
        browser_sessions.begin(request.session)

    def logout(self, request: HttpRequest) -> None:
        audit.record("user:sign_out:succeeded", target=request.user.pk, detail={"door": "browser"}, **actor_of(request))
        super().logout(request)

    def reauthenticate(self, user: AbstractBaseUser, password: str) -> bool:
        """Through the door that counts attempts. Raises Throttled, for the form to tell."""
        assert isinstance(user, User)  # noqa: S101 - for the type checker
        actor = actor_of(self.request)
        try:
            current_password.verify(user, password=password, door="browser", actor=actor)
        except (WrongPassword, TooManyAttempts):
            return False
        audit.record("user:reauthentication:succeeded", target=user.pk, detail={"by": "password"}, **actor)
        return True

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Who has a second factor proves themselves by it; the page that asks for a password sends them on."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        by_second_factor = [each for each in methods if each["id"].startswith("mfa")]
        return by_second_factor if user.is_authenticated and user.has_second_factor else methods

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        return not recent_sign_in.is_recent(self.request)

    def add_message(self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Without those that tell what the page shows anyway: somebody is signed in, or out."""
        if message_template is None or message_template.startswith("mfa/"):
            super().add_message(request, level, message_template, *args, **kwargs)

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        raise PermissionDenied

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """The audit tells of it; allauth's own mail would bypass the outbox."""


class MFAAdapter(DefaultMFAAdapter):
    """Seeds and codes are encrypted; a telephone and a browser are told our name."""

    def encrypt(self, text: str) -> str:
        # SECURITY: or a copy of the database has everybody's second factor.
        return encryption.encrypt(text.encode(), purpose=second_factors.PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        return encryption.decrypt(encrypted_text, purpose=second_factors.PURPOSE).decode()

    def get_totp_issuer(self) -> str:
        return "authserver"

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        return user.get_username()

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return gettext("Passkey") if not count else f"{gettext('Passkey')} {count + 1}"


def is_proved_by_second_factor(request: HttpRequest) -> bool:
    """Whether whoever is signed in here gave a second factor in this session, and still has one."""
    user = request.user
    # SECURITY: of this very user and this session: the factor of another, or one enrolled elsewhere meanwhile, proves nothing here.
    return isinstance(user, User) and request.session.get(PROVED_BY_SECOND_FACTOR) == str(user.pk) and user.has_second_factor


def note_second_factor(request: HttpRequest, user: User) -> None:
    request.session[PROVED_BY_SECOND_FACTOR] = str(user.pk)
