"""Staff's pages of what happened: audit events, and requests that were refused."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.careful_admin import ReadOnlyAdmin
from accounts.models import AuditEvent, Refusal

_ERROR_ID = re.compile(r"[0-9a-f]{16}")


class EventFilter(admin.SimpleListFilter):
    """By the names that there are: to ask the table for them would read all of it."""

    title = parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(event, event) for event in sorted(audit.EVENTS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(event=self.value()) if self.value() in audit.EVENTS else queryset


class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "event", "actor_id", "target", "client_id", "address", "error_id")
    list_title = _("Audit log")
    list_filter = (EventFilter,)
    show_full_result_count = False
    search_fields = ("target", "client_id", "address", "error_id")
    search_help_text = "An id of a user, session or key, a client_id, an address or an error_id."
    uuid_search_fields = ("actor_id", "target")
    fields = ("at", "event", "actor_id", "target", "client_id", "address", "user_agent", "error_id", "detail")


class RefusalAdmin(ReadOnlyAdmin):
    list_title = _("Refused requests")
    list_display = ("at", "error_id", "status", "error", "reason", "client_id", "address")
    show_full_result_count = False
    search_fields = ("error_id__exact", "client_id__exact", "address__startswith")
    search_help_text = "The error_id of the answer, a client_id, a user's id or an address."
    uuid_search_fields = ("user_id",)
    fields = ("error_id", "at", "status", "error", "reason", "client_id", "user_id", "address", "user_agent", "shape", "skipped_before")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Refusal], search_term: str) -> tuple[QuerySet[Refusal], bool]:
        """An error_id by the primary key alone: a flood leaves millions of rows."""
        if _ERROR_ID.fullmatch(search_term.strip()):
            return queryset.filter(pk=search_term.strip()), False
        return super().get_search_results(request, queryset, search_term)
