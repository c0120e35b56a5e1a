"""The page between a decision and its act: what will happen, what will not, and why it is done (templates/admin/confirm_act.html)."""

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse


def confirmation(
    request: HttpRequest,
    *,
    site: AdminSite,
    title: Any,
    form: forms.Form,
    will: Sequence[Any],
    will_not: Sequence[Any] = (),
    notes: Sequence[Any] = (),
    button: Any = None,
    cancel_url: str,
    back_to: Any = "",
    hidden: Iterable[tuple[str, Any]] = (),
    is_dangerous: bool = True,
    status: int = 200,
) -> TemplateResponse:
    """For the GET, and for the POST whose form was not valid; it posts to its own address. `button` is the title unless given."""
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "title": title,
        "form": form,
        "will": will,
        "will_not": will_not,
        "notes": notes,
        "button": button or title,
        "cancel_url": cancel_url,
        "back_to": back_to,
        "hidden": hidden,
        "is_dangerous": is_dangerous,
    }
    return TemplateResponse(request, "admin/confirm_act.html", context, status=status)
