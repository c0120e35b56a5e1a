"""The page on which somebody makes an account for themself, where the server allows it."""

from typing import Any

from django import forms
from django.contrib.auth.password_validation import password_validators_help_texts
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from accounts import passwords, registration, throttling
from accounts.account_forms import BUSY, AddressField, PasswordField, PlainField, ensure_same
from accounts.actors import actor_of
from accounts.hash_slots import Full
from accounts.identifiers import MAX_LENGTH
from accounts.languages import language_of
from accounts.sign_in_forms import PLAIN
from accounts.throttling import Throttled

TAKEN = _("Another user has this name, perhaps in other letters.")
NO_NAME = _("This cannot be a user name. It has no @, no spaces, and nothing that cannot be seen.")
THROTTLED = _("There were too many tries from your network. Wait a few minutes and try again.")


class RegisterForm(forms.Form):
    username = PlainField(
        label=_("User name"),
        max_length=MAX_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "username", **PLAIN}),
        help_text=_("Without @ and spaces; case does not matter."),
    )
    email = AddressField(label=_("E-mail address"), help_text=_("A mail with a code goes there."))
    name = PlainField(
        label=_("Name"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        help_text=_("How apps call you. It may be empty."),
    )
    password = PasswordField(label=_("Password"), autocomplete="new-password")
    again = PasswordField(label=_("Password again"), autocomplete="new-password")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        ensure_same(self, "password")
        return cleaned


@method_decorator([never_cache, sensitive_post_parameters("password", "again")], name="dispatch")
class Register(FormView[RegisterForm]):
    """GET and POST /register."""

    template_name = "register.html"
    form_class = RegisterForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not registration.is_open():
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"policy": password_validators_help_texts()}

    def form_valid(self, form: RegisterForm) -> HttpResponse:
        try:
            _register(self.request, form)
        except registration.NameTaken:
            form.add_error("username", TAKEN)
        except passwords.Refused as refusal:
            form.add_error("password", ValidationError(refusal.reasons))
        except ValidationError:
            form.add_error("username", NO_NAME)
        except Throttled:
            form.add_error(None, THROTTLED)
        except Full:
            form.add_error(None, BUSY)
        else:
            return render(self.request, "register_sent.html", {"email": form.cleaned_data["email"]})
        return self.form_invalid(form)


def _register(request: HttpRequest, form: RegisterForm) -> None:
    actor, members = actor_of(request), {name: form.cleaned_data[name] for name in ("username", "email", "name", "password")}
    # Only of a form that is filled in: a look or a slip uses nothing up.
    throttling.take(throttling.MAILS, address=actor["address"])
    registration.register(**members, language=language_of(request), actor=actor)
