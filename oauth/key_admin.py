"""Staff's pages of signing keys: one page that shows where the schedule stands, and the two acts. No private key is in any field."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import clock, encryption
from accounts.actors import actor_of
from accounts.careful_admin import ReadOnlyAdmin, ReasonForm
from accounts.confirm_page import confirmation
from accounts.recent_sign_in import requires_recent_sign_in
from accounts.templatetags.frame import translated
from oauth import key_act_text, key_page, key_rotation, key_rows
from oauth.key_act_text import Consequences
from oauth.key_schedule import Place, State
from oauth.models import SigningKey

ROTATE, REVOKE = "oauth.rotate_signing_key", "oauth.revoke_signing_key"


class KeyActForm(ReasonForm):
    """Why, and the key's name typed: nobody takes the wrong one out of use by a slip of the hand."""

    reason = forms.CharField(max_length=200, label=gettext_lazy("Reason"), help_text=gettext_lazy("It is kept in the audit log."))
    kid = forms.CharField(
        max_length=255, label=gettext_lazy("The key's kid"), widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )

    def __init__(self, *args: Any, kid: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted = kid
        self.fields["kid"].help_text = _("Type it to confirm: %(kid)s") % {"kid": kid}

    def clean_kid(self) -> str:
        if self.cleaned_data["kid"] != self.wanted:
            raise forms.ValidationError(_("This is not the kid of the key."))
        return self.wanted


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    list_display = ("kid", "algorithm", "published_at", "signs_from", "revoked_at")
    fields = (
        "kid",
        "sequence",
        "algorithm",
        "state",
        "public_jwk",
        "created_at",
        "published_at",
        "signs_from",
        "signs_until",
        "removed_at",
        "revoked_at",
        "revoked_reason",
    )
    readonly_fields = ("state", "signs_until", "removed_at")

    def state(self, key: SigningKey) -> str:
        return key_page.pill_of(_place_of(key).state(clock.now()))

    def signs_until(self, key: SigningKey) -> datetime | None:
        return _place_of(key).signs_until

    @admin.display(description="leaves the key set")
    def removed_at(self, key: SigningKey) -> datetime | None:
        return _place_of(key).removed_at

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        return [
            path("rotate/", guarded(self.rotate), name="oauth_signingkey_rotate"),
            path("<int:pk>/compromised/", guarded(self.revoke), name="oauth_signingkey_revoke"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """All keys on one page, in place of a list: they are a handful, and what matters is how they follow each other."""
        if request.method not in {"GET", "HEAD"} or not self.has_view_permission(request):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | key_page.context(
            may_rotate=request.user.has_perm(ROTATE), may_revoke=request.user.has_perm(REVOKE)
        )
        return TemplateResponse(request, "admin/signing_keys.html", context)

    # SECURITY: or whoever may look at the keys makes another sign.
    @method_decorator(permission_required(ROTATE, raise_exception=True))
    @requires_recent_sign_in
    def rotate(self, request: HttpRequest) -> HttpResponse:
        consequences = key_act_text.of_rotation(key_rows.current(), now=clock.database_now())
        if consequences is None:
            return self._nothing(
                request, _("There is no standby to rotate to yet; a server that runs makes it within a second. Try again then.")
            )

        def act(reason: str) -> str:
            made = key_rotation.rotate(signer=consequences.kid, actor=actor_of(request), reason=reason)
            return key_act_text.of_succession(made)

        return self._confirmed(request, consequences, act, title=_("Rotate the signing key"))

    # SECURITY: or whoever may look at the keys takes them out of use.
    @method_decorator(permission_required(REVOKE, raise_exception=True))
    @requires_recent_sign_in
    def revoke(self, request: HttpRequest, pk: int) -> HttpResponse:
        schedule, now = key_rows.current(), clock.database_now()
        place = next((place for place in schedule.places if place.key.pk == pk), None)
        if place is None:
            raise Http404
        if place.state(now) in {State.REVOKED, State.RETIRED}:
            return self._nothing(request, _("The key %(kid)s is out of use already.") % {"kid": place.key.kid})

        def act(reason: str) -> str:
            key_rotation.revoke(place.key.kid, actor=actor_of(request), reason=reason)
            return _("The key %(kid)s is revoked. Every process knows within a second.") % {"kid": place.key.kid}

        return self._confirmed(
            request, key_act_text.of_revocation(place, schedule, now=now), act, title=_("Take a compromised key out of use")
        )

    def _confirmed(self, request: HttpRequest, consequences: Consequences, act: Callable[[str], str], *, title: str) -> HttpResponse:
        """The page before the act, and the act when it was confirmed; what stops it is told on that page."""
        form = KeyActForm(
            request.POST if "confirmed" in request.POST else None, kid=consequences.kid, initial={"reason": request.POST.get("reason")}
        )
        if form.is_valid():
            try:
                message = act(form.cleaned_data["reason"])
            except (key_rotation.Conflict, encryption.Undecryptable) as refusal:
                form.add_error(None, str(refusal))
            else:
                self.message_user(request, message, "success")
                return HttpResponseRedirect(_page())
        return confirmation(
            request,
            site=self.admin_site,
            title=title,
            form=form,
            will=consequences.will,
            will_not=consequences.will_not,
            notes=consequences.notes,
            cancel_url=_page(),
            back_to=translated(self.opts.verbose_name_plural),
        )

    def _nothing(self, request: HttpRequest, message: str) -> HttpResponse:
        self.message_user(request, message, "warning")
        return HttpResponseRedirect(_page())


def _page() -> str:
    return reverse("admin:oauth_signingkey_changelist")


def _place_of(key: SigningKey) -> Place[SigningKey]:
    """All keys are read for each: they are a handful."""
    return next(place for place in key_rows.current().places if place.key.pk == key.pk)
