"""What staff do to many clients from the list."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.act_on_many import ManyAct, asked_or_done
from accounts.actors import Actor
from accounts.recent_sign_in import requires_recent_sign_in
from oauth import client_act_text, client_switch
from oauth.client_page import DISABLE
from oauth.models import Client


class ClientBulkActs:
    """For the ModelAdmin of clients."""

    actions = ("disable_clients",)

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DISABLE)

    @admin.action(description=_("Disable…"), permissions=["disable"])
    @requires_recent_sign_in
    def disable_clients(self, request: HttpRequest, queryset: QuerySet[Client]) -> HttpResponse | None:
        text = client_act_text.of_disabling_many()
        many = ManyAct(
            action="disable_clients",
            title=_("Disable the clients"),
            who=_clients,
            why_not=_why_not,
            will=lambda rows: text.will,
            will_not=text.will_not,
            do=_disable,
        )
        return asked_or_done(self, request, queryset, many)  # type: ignore[arg-type] # a mixin of it


def _clients(rows: Sequence[Any]) -> str:
    return ngettext("%(count)d client", "%(count)d clients", len(rows)) % {"count": len(rows)}


def _why_not(client: Client) -> str:
    return "" if client.is_active else gettext("Left out, as they are disabled already")


def _disable(client: Client, actor: Actor, reason: str) -> bool:
    return client_switch.disable(client, actor=actor, reason=reason)
