"""The pages on which people see and change their own account: profile, e-mail address, password."""

from typing import Any

from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.password_validation import password_validators_help_texts
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from accounts import email_change, epochs, outbox, passwords, profiles, throttling
from accounts.account_forms import EmailForm, PasswordForm, ProfileForm
from accounts.actors import actor_of, person_of
from accounts.languages import language_of
from accounts.sign_in_forms import THROTTLED

ACCOUNT = reverse_lazy("account")
own_page = method_decorator([never_cache, login_required], name="dispatch")


@own_page
class Profile(FormView[ProfileForm]):
    """GET and POST /account: who one is, and another name."""

    template_name = "my_account/profile.html"
    form_class = ProfileForm

    def get_initial(self) -> dict[str, Any]:
        return {"name": person_of(self.request).name}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"may_change_email": outbox.is_set_up()}

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        profiles.change(person_of(self.request), name=form.cleaned_data["name"], actor=actor_of(self.request), client_id="")
        messages.success(self.request, _("Your name was changed."))
        return redirect(ACCOUNT)


@own_page
@method_decorator(sensitive_post_parameters("current_password"), name="dispatch")
class Email(FormView[EmailForm]):
    """GET and POST /account/email: ask for another e-mail address."""

    template_name = "my_account/email.html"
    form_class = EmailForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not outbox.is_set_up():
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: EmailForm) -> HttpResponse:
        email, actor = form.cleaned_data["email"], actor_of(self.request)
        try:
            throttling.take(throttling.MAILS, address=actor["address"])
            email_change.request(form.proved, email=email, language=language_of(self.request), actor=actor, client_id="")
        except throttling.Throttled:
            return self._refuse(form, THROTTLED)
        except epochs.Stale:
            return self._refuse(form, changed_meanwhile())
        messages.info(self.request, _("A mail is on its way to %(email)s. The address changes once you confirm it.") % {"email": email})
        return redirect(ACCOUNT)

    def _refuse(self, form: EmailForm, text: Any) -> HttpResponse:
        form.add_error(None, text)
        return self.form_invalid(form)


@own_page
@method_decorator(sensitive_post_parameters(), name="dispatch")
class Password(FormView[PasswordForm]):
    """GET and POST /account/password: another password. Every other session of the user ends."""

    template_name = "my_account/password.html"
    form_class = PasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        more = {"policy": password_validators_help_texts(), "has_password": person_of(self.request).has_usable_password()}
        return super().get_context_data(**kwargs) | more | {"offers_reset": outbox.is_set_up()}

    def form_valid(self, form: PasswordForm) -> HttpResponse:
        try:
            # One transaction: or this browser is signed out too when its session cannot be written.
            with transaction.atomic():
                epoch = passwords.change(form.proved, encoded=form.encoded, actor=actor_of(self.request), client_id="")
                keep_browser(self.request, epoch=epoch, encoded=form.encoded)
        except epochs.Stale:
            form.add_error(None, changed_meanwhile())
            return self.form_invalid(form)
        reauthenticate_by_password(self.request)
        messages.success(self.request, _("Your password was changed. You are signed out everywhere but here."))
        return redirect(ACCOUNT)


def keep_browser(request: HttpRequest, *, epoch: int, encoded: str = "") -> None:
    """Take this browser's session along into the epoch that its user has just begun, perhaps by another password, under another key."""
    user = person_of(request)
    # SECURITY: the epoch that began here, not what the row says by now: somebody may have ended this one too.
    user.session_epoch, user.password = epoch, encoded or user.password
    update_session_auth_hash(request, user)


def changed_meanwhile() -> str:
    return _("The account was changed meanwhile. Try again.")
