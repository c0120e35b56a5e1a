"""What staff do to clients on pages of their own: register, rotate a secret, disable, end all sessions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.decorators import permission_required, user_passes_test
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.actors import actor_of
from accounts.careful_admin import WhyForm
from accounts.confirm_page import confirmation
from accounts.recent_sign_in import requires_recent_sign_in
from accounts.templatetags.frame import translated
from oauth import client_act_text, client_switch, clients, session_ending
from oauth.client_form import RegistrationForm
from oauth.client_page import DISABLE, END_ALL, ROTATE
from oauth.models import Client

KEEP_OLD = timedelta(days=1)
# A request ends no more sessions than this allows; the page says what is left, and goes on from there.
TIME_TO_END = timedelta(seconds=10)
_CHANGED = gettext_lazy("The secret was changed meanwhile. Nothing was done now; go back to the client and look again.")


def _ensure_owner(user: Any) -> bool:
    """Raises PermissionDenied: to sign in anew would not help."""
    if not user.is_superuser:
        raise PermissionDenied
    return True


class SecretForm(WhyForm):
    old = forms.ChoiceField(
        label=gettext_lazy("The secret that works now"),
        widget=forms.RadioSelect,
        initial="keep",
        choices=(
            ("keep", gettext_lazy("works for 24 hours more, so that nothing breaks")),
            ("stop", gettext_lazy("stops now: it may have leaked")),
        ),
    )
    # When the secret was made that the person saw: a page that is sent twice rotates once.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, client: Client, **kwargs: Any) -> None:
        self.made_at = client.secret_created_at.isoformat() if client.secret_created_at else ""
        super().__init__(*args, **kwargs)
        self.initial["seen"] = self.made_at

    def clean(self) -> None:
        if self.cleaned_data.get("seen") != self.made_at:
            raise ValidationError(_CHANGED)


class ClientActs:
    """For the ModelAdmin of clients."""

    admin_site: Any
    opts: Any
    message_user: Callable[..., None]
    has_add_permission: Callable[[HttpRequest], bool]

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        return [
            path("end-everything/", guarded(self.end_everything), name="oauth_client_end_everything"),
            path("<int:pk>/rotate-secret/", guarded(self.rotate_secret), name="oauth_client_rotate_secret"),
            path("<int:pk>/disable/", guarded(self.disable), name="oauth_client_disable"),
            path("<int:pk>/enable/", guarded(self.enable), name="oauth_client_enable"),
            path("<int:pk>/end-sessions/", guarded(self.end_sessions), name="oauth_client_end_sessions"),
            *super().get_urls(),  # type: ignore[misc] # of ModelAdmin
        ]

    @requires_recent_sign_in
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Register a client; its secret is shown in the answer, and never again."""
        # SECURITY: or whoever may look at clients makes one that is theirs.
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = RegistrationForm(request.POST or None)
        if form.is_valid():
            try:
                made = clients.register(form.cleaned_data["client_id"], **form.as_registration(), actor=actor_of(request))
            except ValidationError as refusal:
                _tell(form, refusal)
            else:
                return self._registered(request, made)
        context = self.admin_site.each_context(request) | {"title": _("Register a client"), "form": form, "cancel_url": _list()}
        return TemplateResponse(request, "admin/register_client.html", context)

    # SECURITY: or whoever may look at clients takes their secrets over.
    @method_decorator(permission_required(ROTATE, raise_exception=True))
    @requires_recent_sign_in
    def rotate_secret(self, request: HttpRequest, pk: int) -> HttpResponse:
        client = get_object_or_404(Client, pk=pk, client_type=Client.CLIENT_CONFIDENTIAL)
        form = SecretForm(request.POST if "confirmed" in request.POST else None, client=client)
        if form.is_valid():
            keep = KEEP_OLD if form.cleaned_data["old"] == "keep" else timedelta(0)
            try:
                made = clients.rotate_secret(client, keep_old_for=keep, actor=actor_of(request), reason=form.cleaned_data["reason"])
            except clients.SecretChanged:
                form.add_error(None, _CHANGED)
            else:
                notes = [client_act_text.of_old_secret(made.client, kept=bool(keep))]
                return self._secret(request, made, title=_("The new secret of %(name)s") % {"name": client.name}, notes=notes)
        return self._confirmation(request, form, client_act_text.of_rotation(client), client, title=_("Rotate the secret"))

    # SECURITY: or whoever may look at clients shuts them out.
    @method_decorator(permission_required(DISABLE, raise_exception=True))
    @requires_recent_sign_in
    def disable(self, request: HttpRequest, pk: int) -> HttpResponse:
        client = get_object_or_404(Client, pk=pk)

        def act(reason: str) -> str:
            client_switch.disable(client, actor=actor_of(request), reason=reason)
            return _("%(name)s is disabled.") % {"name": client.name}

        return self._done_or_asked(request, client, act, client_act_text.of_disabling(), title=_("Disable the client"))

    # SECURITY: or whoever may look at clients lets one in again that was shut out.
    @method_decorator(permission_required(DISABLE, raise_exception=True))
    @requires_recent_sign_in
    def enable(self, request: HttpRequest, pk: int) -> HttpResponse:
        client = get_object_or_404(Client, pk=pk)

        def act(reason: str) -> str:
            client_switch.enable(client, actor=actor_of(request), reason=reason)
            return _("%(name)s is enabled.") % {"name": client.name}

        return self._done_or_asked(request, client, act, client_act_text.of_enabling(), title=_("Enable the client"))

    # SECURITY: or whoever may look at clients signs everybody out of one.
    @method_decorator(permission_required(END_ALL, raise_exception=True))
    @requires_recent_sign_in
    def end_sessions(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._end(request, get_object_or_404(Client, pk=pk), title=_("End all its sessions"))

    # SECURITY: or a member of staff who is no owner signs everybody out of everything.
    @method_decorator(user_passes_test(_ensure_owner))
    @requires_recent_sign_in
    def end_everything(self, request: HttpRequest) -> HttpResponse:
        return self._end(request, None, title=_("End all sessions of everybody"))

    def _end(self, request: HttpRequest, client: Client | None, *, title: str) -> HttpResponse:
        form = WhyForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            made = session_ending.end_all(client=client, actor=actor_of(request), reason=form.cleaned_data["reason"], within=TIME_TO_END)
            if made.is_complete:
                self.message_user(request, client_act_text.of_ended(made.count), "success")
                return HttpResponseRedirect(_page(client))
            form.add_error(None, client_act_text.of_unfinished(made.count))
        consequences = client_act_text.of_ending(session_ending.preview(client=client), client=client)
        return self._confirmation(request, form, consequences, client, title=title)

    def _done_or_asked(
        self, request: HttpRequest, client: Client, act: Callable[[str], str], text: client_act_text.Consequences, *, title: str
    ) -> HttpResponse:
        form = WhyForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self._confirmation(request, form, text, client, title=title)
        self.message_user(request, act(form.cleaned_data["reason"]), "success")
        return HttpResponseRedirect(_page(client))

    def _confirmation(
        self, request: HttpRequest, form: forms.Form, text: client_act_text.Consequences, client: Client | None, *, title: str
    ) -> HttpResponse:
        return confirmation(
            request,
            site=self.admin_site,
            title=title,
            form=form,
            will=text.will,
            will_not=text.will_not,
            notes=text.notes,
            cancel_url=_page(client),
            back_to=translated(self.opts.verbose_name_plural) if client is None else client.name,
        )

    def _registered(self, request: HttpRequest, made: clients.Registration) -> HttpResponse:
        if made.secret_value is None:
            self.message_user(request, _("%(name)s is registered. It is public and has no secret.") % {"name": made.client.name}, "success")
            return HttpResponseRedirect(_page(made.client))
        return self._secret(request, made, title=_("%(name)s is registered") % {"name": made.client.name}, notes=[])

    def _secret(self, request: HttpRequest, made: clients.Registration, *, title: str, notes: list[str]) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": title,
            "facts": [("client_id", made.client.client_id)],
            "label": "client_secret",
            "secret": made.secret_value,
            "notes": notes,
            "done_url": _page(made.client),
        }
        return TemplateResponse(request, "admin/secret_once.html", context)


def _tell(form: forms.Form, refusal: ValidationError) -> None:
    """What the model refuses, at the field that it is about."""
    for name, texts in refusal.message_dict.items():
        form.add_error(name if name in form.fields and name != NON_FIELD_ERRORS else None, texts)


def _list() -> str:
    return reverse("admin:oauth_client_changelist")


def _page(client: Client | None) -> str:
    return _list() if client is None else reverse("admin:oauth_client_change", args=(client.pk,))
