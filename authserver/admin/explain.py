"""“Explain this failure”: what staff are told of a refused request whose error_id a client was given."""

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import explanations
from accounts.explanations import Explanation
from oauth.models import Client

LONGEST = 100


class ErrorIdForm(forms.Form):
    error_id = forms.CharField(
        label="error_id",
        max_length=LONGEST,
        help_text=_("The 16 characters beside “error_id” in the answer that the application got."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}),
    )


def view(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """/admin/explain/. An error_id is no secret: links name it in the address, people paste it into the form."""
    if request.method not in {"GET", "POST"}:
        return HttpResponseNotAllowed(["GET", "POST"])
    if not request.user.has_perm("accounts.view_refusal"):
        raise PermissionDenied
    given = request.POST if request.method == "POST" else request.GET if "error_id" in request.GET else None
    form = ErrorIdForm(given)
    found = _found(form)
    context = {
        **site.each_context(request),
        "title": _("Explain this failure"),
        "form": form,
        "found": found,
        **(_told(request, found) if found else {}),
    }
    return TemplateResponse(request, "admin/explain.html", context)


def _found(form: ErrorIdForm) -> Explanation | None:
    if not form.is_bound or not form.is_valid():
        return None
    try:
        return explanations.explain(form.cleaned_data["error_id"])
    except explanations.Unknown as unknown:
        form.add_error("error_id", str(unknown))
        return None


def _told(request: HttpRequest, found: Explanation) -> dict[str, Any]:
    """What stands around a refusal, linked where the person at the browser may follow."""
    refusal, may = found.refusal, request.user.has_perm
    client = Client.objects.filter(client_id=refusal.client_id).first() if refusal.client_id and may("oauth.view_client") else None
    return {
        "refusal": refusal,
        "user_url": reverse("admin:accounts_user_change", args=(found.user.pk,)) if found.user and may("accounts.view_user") else "",
        "client_url": reverse("admin:oauth_client_change", args=(client.pk,)) if client else "",
        "may_see_events": may("accounts.view_auditevent"),
        "events": explanations.events_of(refusal.pk) if may("accounts.view_auditevent") else [],
    }
