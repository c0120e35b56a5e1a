"""The admin's site: what Django's does, with a record of what staff do to their own account, and without pages that nobody needs."""

from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.urls.resolvers import URLPattern, URLResolver
from django.utils.translation import gettext

from accounts import audit, current_password, epochs, passwords
from accounts.actors import Actor, actor_of
from accounts.current_password import TooManyAttempts, WrongPassword
from accounts.hash_slots import Full
from accounts.models import User
from accounts.sign_in_adapters import is_proved_by_second_factor
from accounts.sign_in_forms import LOCKED
from accounts.throttling import Throttled


class OwnPasswordForm(AdminPasswordChangeForm):
    """The old password goes through the door that counts attempts, once everything else is right."""

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor

    def clean_old_password(self) -> str:
        old_password: str = self.cleaned_data["old_password"]
        return old_password

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors:
            self._prove(self.cleaned_data["old_password"])
        return cleaned

    def _prove(self, old_password: str) -> None:
        try:
            current_password.verify(self.user, password=old_password, door="admin", actor=self.actor)
            self.encoded = passwords.encode(self.cleaned_data["new_password1"])
        except WrongPassword:
            self.add_error("old_password", self.error_messages["password_incorrect"])
        except (Throttled, TooManyAttempts, Full):
            self.add_error("old_password", str(LOCKED))

    def save(self, commit: bool = True) -> User:
        """Raises epochs.Stale."""
        passwords.change(self.user, encoded=self.encoded, actor=self.actor, client_id="")
        self.user.refresh_from_db(fields=("password", "session_epoch"))
        return self.user


class OwnPassword(PasswordChangeView):
    form_class = OwnPasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"actor": actor_of(self.request)}

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            with transaction.atomic():
                return super().form_valid(form)
        except epochs.Stale:
            form.add_error(None, gettext("The account was changed meanwhile. Try again."))
            return self.form_invalid(form)


class StaffSite(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        # SECURITY: a password alone opens no page of the admin, in development neither.
        return super().has_permission(request) and is_proved_by_second_factor(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Away to the page where everybody signs in, or to where staff enrol the second factor that they lack."""
        if not request.user.is_authenticated:
            query = urlencode({REDIRECT_FIELD_NAME: request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")})
            return HttpResponseRedirect(f"{reverse('account_login')}?{query}")
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        if not super().has_permission(request):
            raise PermissionDenied
        if not request.user.has_second_factor:
            return HttpResponseRedirect(reverse("mfa_index"))
        # Enrolled in another browser: in this one it has not been given.
        [first, *_] = get_adapter().get_reauthentication_methods(request.user)
        return HttpResponseRedirect(f"{first['url']}?{urlencode({REDIRECT_FIELD_NAME: reverse('admin:index')})}")

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """No row has a page outside the admin, and no form completes what is typed: the views for both would only be doors."""
        return [each for each in super().get_urls() if getattr(each, "name", None) not in {"view_on_site", "autocomplete"}]

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        request.current_app = self.name
        view = OwnPassword.as_view(
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method == "POST":
            audit.record("user:sign_out:succeeded", target=request.user.pk, detail={"door": "admin"}, **actor_of(request))
        return super().logout(request, extra_context)
