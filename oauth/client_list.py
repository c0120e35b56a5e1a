"""What the list of clients tells beside their columns: sessions within a bound, the age of secrets, and the filters."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.clock import Instant
from oauth.models import GRANT_TYPE_CHOICES, Client, Session

# So many of a client's newest sessions are looked at, of however many it has.
NEWEST = 200
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


def with_sessions(clients: QuerySet[Client]) -> QuerySet[Client]:
    """With `newest_session_at`, `live_sessions` among the newest, and `has_more_sessions` than were looked at: all along one index."""
    newest = Session.objects.filter(client=OuterRef("pk")).order_by("-created_at")
    last_looked_at = Session.objects.filter(client=OuterRef(OuterRef("pk"))).order_by("-created_at").values("created_at")
    # By time, a range of the index: for a list of keys one of the two databases looks at every session there is.
    since = Coalesce(Subquery(last_looked_at[NEWEST - 1 : NEWEST]), Value(_BEFORE_ALL))
    live = Session.objects.live().filter(client=OuterRef("pk"), created_at__gte=since)
    annotated: QuerySet[Client] = clients.annotate(
        newest_session_at=Subquery(newest.values("created_at")[:1]),
        live_sessions=Subquery(live.order_by().values("client").annotate(number=Count("pk")).values("number")),
        has_more_sessions=Exists(newest.values("pk")[NEWEST : NEWEST + 1]),
    )
    return annotated


def secret_age(client: Client) -> str:
    if client.secret_created_at is None:
        return "—"
    days = (clock.now() - client.secret_created_at).days
    return ngettext("%(days)s day", "%(days)s days", days) % {"days": days}


def secret_column(request: HttpRequest) -> Callable[[Any], str]:
    """How old the secret is, with the button that makes another, for who may press it."""
    may_rotate = request.user.has_perm("oauth.rotate_client_secret")

    @admin.display(ordering="secret_created_at", description=_("secret age"))
    def secret(client: Client) -> str:
        if not may_rotate or client.is_public:
            return secret_age(client)
        url = reverse("admin:oauth_client_rotate_secret", args=(client.pk,))
        template = '<div class="with-act">{} <a class="button button--small" href="{}">{}<span class="visually-hidden"> {}</span></a></div>'
        return format_html(template, secret_age(client), url, gettext("Rotate secret…"), client.name)

    return secret


class ClientList(ChangeList):
    """The rows of the list alone are looked up with their sessions: the page of one client needs none of it."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        return with_sessions(super().get_queryset(request, exclude_parameters))


class GrantFilter(admin.SimpleListFilter):
    title, parameter_name = _("grant type"), "grant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(grant_type, grant_type.rpartition(":")[2]) for grant_type in GRANT_TYPE_CHOICES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Client]) -> QuerySet[Client]:
        # As a text, with its quotes: SQLite cannot ask what a list contains.
        return queryset.filter(grant_types__icontains=f'"{self.value()}"') if self.value() in GRANT_TYPE_CHOICES else queryset


class SecretAgeFilter(admin.SimpleListFilter):
    title, parameter_name = _("secret"), "secret_older_than"
    DAYS = (30, 90, 180, 365)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(days), _("older than %(days)s days") % {"days": days}) for days in self.DAYS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Client]) -> QuerySet[Client]:
        days = _days(self.value(), self.DAYS)
        return queryset.filter(secret_created_at__lt=Instant(plus=-timedelta(days=days))) if days else queryset


class UnusedFilter(admin.SimpleListFilter):
    title, parameter_name = _("new session"), "unused_for"
    DAYS = (30, 90, 365)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(days), _("none for %(days)s days") % {"days": days}) for days in self.DAYS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Client]) -> QuerySet[Client]:
        days = _days(self.value(), self.DAYS)
        if not days:
            return queryset
        since = Instant(plus=-timedelta(days=days))
        return queryset.filter(Q(created__lt=since), ~Exists(Session.objects.filter(client=OuterRef("pk"), created_at__gte=since)))


def _days(value: str | None, offered: tuple[int, ...]) -> int | None:
    return next((days for days in offered if str(days) == value), None)
