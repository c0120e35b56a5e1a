"""The pages that sign people in and keep their second factors: allauth's, and what they show once they show in the answer itself."""

from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.account.views import LoginView, LogoutView, ReauthenticateView
from allauth.mfa.base.views import AuthenticateView, IndexView
from allauth.mfa.base.views import ReauthenticateView as CodeReauthenticateView
from allauth.mfa.internal.flows.add import redirect_if_add_not_allowed
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.flows import generate_recovery_codes
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView
from allauth.mfa.totp.internal.flows import activate_totp
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.internal import auth as passkeys
from allauth.mfa.webauthn.internal import flows as passkey_flows
from allauth.mfa.webauthn.views import AddWebAuthnView, LoginWebAuthnView, ReauthenticateWebAuthnView, RemoveWebAuthnView
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import audit, outbox, registration, second_factors
from accounts.actors import actor_of, person_of
from accounts.identifiers import MAX_LENGTH
from accounts.recent_sign_in import requires_recent_sign_in
from accounts.sign_in_adapters import note_second_factor

SECURITY = reverse_lazy("mfa_index")
MOST_DIGITS = 18  # of a row's number


@method_decorator(never_cache, name="dispatch")
class SignIn(LoginView):
    """GET and POST /sign-in: name and password. `login_hint` is a name to begin with (OpenID Connect Core §3.1.2.1)."""

    def get_initial(self) -> dict[str, Any]:
        hint = self.request.GET.get("login_hint", "")
        return {"login": hint} if len(hint) <= MAX_LENGTH and hint.isprintable() else {}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | {"offers_reset": outbox.is_set_up(), "offers_registration": registration.is_open()}


class SignOut(LogoutView):
    """GET and POST /sign-out: the question, and the end of the session."""


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class PasswordAgain(ReauthenticateView):
    """GET and POST /sign-in/again."""


@method_decorator(sensitive_post_parameters("code"), name="dispatch")
class Code(AuthenticateView):
    """GET and POST /sign-in/code: the second factor, after the password."""


@method_decorator(sensitive_post_parameters("code"), name="dispatch")
class CodeAgain(CodeReauthenticateView):
    """GET and POST /sign-in/code/again."""


class Passkey(LoginWebAuthnView):
    """GET and POST /sign-in/passkey: instead of name and password."""

    def form_valid(self, form: Any) -> HttpResponse:
        authenticator = form.cleaned_data["credential"]
        note_second_factor(self.request, authenticator.user)
        self.request.session["signing_in_by"] = "passkey alone"
        response: HttpResponse = super().form_valid(form)
        return response


class PasskeyAgain(ReauthenticateWebAuthnView):
    """GET and POST /sign-in/passkey/again."""

    def form_valid(self, form: Any) -> HttpResponse:
        note_second_factor(self.request, person_of(self.request))
        audit.record(
            "user:reauthentication:succeeded", target=person_of(self.request).pk, detail={"by": "passkey"}, **actor_of(self.request)
        )
        response: HttpResponse = super().form_valid(form)
        return response


class Security(IndexView):
    """GET /account/security: which second factors there are, and how to add one."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        found = context["authenticators"]
        codes = found.get("recovery_codes")
        return context | {
            "totp": found.get("totp"),
            "passkeys": found.get("webauthn", []),
            "codes_left": len(codes.get_unused_codes()) if codes else 0,
            "has_codes": codes is not None,
            "must_enrol": person_of(self.request).is_staff and not person_of(self.request).has_second_factor,
        }


@method_decorator([never_cache, redirect_if_add_not_allowed, requires_recent_sign_in], name="dispatch")
class AddAuthenticator(ActivateTOTPView):
    """GET and POST /account/security/authenticator."""

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            _, codes = activate_totp(self.request, form)
            _added(self.request, "totp")
        return _with_codes(self.request, codes)


@method_decorator(requires_recent_sign_in, name="dispatch")
class RemoveAuthenticator(DeactivateTOTPView):
    """GET and POST /account/security/authenticator/remove."""

    success_url = SECURITY

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            second_factors.record("removed", "totp", user=person_of(self.request), actor=actor_of(self.request))
        return response


@method_decorator([never_cache, redirect_if_add_not_allowed, requires_recent_sign_in], name="dispatch")
class AddPasskey(AddWebAuthnView):
    """GET and POST /account/security/passkeys/add."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        # One that signs in by itself: allauth decides that in its own script, which is not used here.
        return context | {"js_data": {"creation_options": passkeys.begin_registration(person_of(self.request), True)}}

    def form_valid(self, form: Any) -> HttpResponse:
        name, credential = form.cleaned_data["name"], form.cleaned_data["credential"]
        with transaction.atomic():
            _, codes = passkey_flows.add_authenticator(self.request, name=name, credential=credential)
            _added(self.request, "webauthn")
        return _with_codes(self.request, codes)


@method_decorator(requires_recent_sign_in, name="dispatch")
class RemovePasskey(RemoveWebAuthnView):
    """GET and POST /account/security/passkeys/{pk}/remove."""

    success_url = SECURITY

    def get_queryset(self) -> Any:
        if not self.kwargs["pk"].isdecimal() or len(self.kwargs["pk"]) > MOST_DIGITS:
            raise Http404
        return super().get_queryset()

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response: HttpResponse = super().form_valid(form)
            # Which of them: a database that was restored from a backup has it again (oauth/restored/people.py).
            factor = {"factor": int(self.kwargs["pk"])}
            second_factors.record("removed", "webauthn", user=person_of(self.request), actor=actor_of(self.request), **factor)
        return response


@method_decorator([never_cache, requires_recent_sign_in], name="dispatch")
class NewRecoveryCodes(GenerateRecoveryCodesView):
    """GET and POST /account/security/recovery-codes."""

    success_url = SECURITY

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            codes = generate_recovery_codes(self.request)
            audit.record("user:recovery_codes:generated", target=person_of(self.request).pk, **actor_of(self.request))
        return _with_codes(self.request, codes)


def _added(request: HttpRequest, kind: str) -> None:
    """Whoever has just enrolled it has it: this session needs no other proof."""
    user = person_of(request)
    note_second_factor(request, user)
    record_authentication(request, user, method="mfa", type=kind, reauthenticated=True)
    second_factors.record("added", kind, user=user, actor=actor_of(request))


def _with_codes(request: HttpRequest, codes: Authenticator | None) -> HttpResponse:
    """Recovery codes are shown once, in the answer to the form that made them."""
    if codes is None:
        return redirect(SECURITY)
    wrapped = codes.wrap()
    wrapped.mark_as_viewed()
    return render(request, "mfa/recovery_codes/index.html", {"codes": wrapped.get_unused_codes()})
