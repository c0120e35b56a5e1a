"""Staff's pages of what happened: audit events, and requests that were refused."""

import re
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit, audit_lines, audit_pages, audit_search, components
from accounts.actors import actor_of
from accounts.audit_filters import AddressFilter, EventFilter, OutcomeFilter, WhenFilter
from accounts.careful_admin import ReadOnlyAdmin
from accounts.models import AuditEvent, Refusal
from accounts.recent_sign_in import ask_again, is_recent

MOST_EXPORTED = 100_000
EXPORTED_AT_ONCE = 2000
LONGEST_REASON = 200
EXPORT = "accounts.export_audit"
FORMATS = {"csv": ("text/csv", audit_lines.csv_lines), "jsonl": ("application/jsonl", audit_lines.json_lines)}
TONES: dict[str, components.Tone] = {
    **dict.fromkeys(("failed", "reused", "detected", "revoked", "presented_by_another_client", "caught_up"), "bad"),
    **dict.fromkeys(("started", "disabled", "removed", "deleted", "reset", "reset_requested", "erased", "overlapped"), "warn"),
    **dict.fromkeys(("succeeded", "enabled", "confirmed", "lifted"), "ok"),
}
_ERROR_ID = re.compile(r"[0-9a-f]{16}")
Events = QuerySet[AuditEvent]


class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("when", "what", "outcome", "actor", "concerned", "address", "client", "explanation")
    list_display_links = ("what",)
    list_title = _("Audit log")
    list_filter = (EventFilter, OutcomeFilter, WhenFilter, AddressFilter)
    list_per_page = 100
    show_full_result_count = False
    sortable_by = ()
    ordering = audit_pages.ORDER
    empty_text = _("Nothing happened in this time.")
    search_fields = ("target",)
    search_help_text = _("A user name, an e-mail address, a client_id, an id, an address or an error_id; whole, not a part of it.")
    fields = ("at", "event", "actor_id", "target", "client_id", "address", "user_agent", "error_id", "detail")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[audit_pages.EventList]:
        return audit_pages.EventList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        extra = {"may_export": request.user.has_perm(EXPORT), "most_exported": MOST_EXPORTED}
        return super().changelist_view(request, extra | (extra_context or {}))

    def get_search_results(self, request: HttpRequest, queryset: Events, search_term: str) -> tuple[Events, bool]:
        """By whole values alone, each of which has an index: a part of one would read every row of the time."""
        return audit_search.about(queryset, search_term.strip()), False

    # --- Columns ---

    @admin.display(description=_("When (UTC)"))
    def when(self, event: Any) -> str:
        return format_html('<time datetime="{}">{}</time>', event.at.isoformat(timespec="seconds"), f"{event.at:%Y-%m-%d %H:%M:%S}")

    @admin.display(description=_("Event"))
    def what(self, event: Any) -> str:
        return str(event.event.rpartition(":")[0].replace(":", ": ").replace("_", " "))

    @admin.display(description=_("Outcome"))
    def outcome(self, event: Any) -> str:
        outcome = event.event.rpartition(":")[2]
        return components.pill(outcome.replace("_", " "), TONES.get(outcome, "quiet"))

    @admin.display(description=_("Actor"))
    def actor(self, event: Any) -> str:
        return _person(event, event.actor_id, str(event.actor_id or ""))

    @admin.display(description=_("Target"))
    def concerned(self, event: Any) -> str:
        return _person(event, audit_pages.as_uuid(event.target), event.target)

    @admin.display(description=_("Address"))
    def address(self, event: Any) -> str:
        return format_html('<a href="?address={0}">{0}</a>', event.address) if event.address else "—"

    @admin.display(description=_("Client"))
    def client(self, event: Any) -> str:
        return event.client_id or "—"

    @admin.display(description="error_id")
    def explanation(self, event: Any) -> str:
        if not event.error_id:
            return "—"
        return format_html('<a href="{0}?error_id={1}"><code>{1}</code></a>', reverse("admin:explain"), event.error_id)

    # --- The export ---

    def get_urls(self) -> list[URLPattern]:
        return [
            path("export/", self.admin_site.admin_view(self.export), name="accounts_auditevent_export"),
            *super().get_urls(),
        ]

    def export(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """POST, with the filters of the list in the address: what the list would show, page after page, as a file."""
        # SECURITY: to look at the log is no right to take it away.
        if not (self.has_view_permission(request) and request.user.has_perm(EXPORT)):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        # SECURITY: or a browser that was left open hands out who signed in from where.
        if not is_recent(request):
            query = f"?{request.GET.urlencode()}" if request.GET else ""
            return ask_again(request, back_to=f"{reverse('admin:accounts_auditevent_changelist')}{query}")
        kind, reason = request.POST.get("format", "csv"), request.POST.get("reason", "")[:LONGEST_REASON]
        if kind not in FORMATS:
            raise BadRequest("no such format")
        changelist = self.get_changelist_instance(request)
        filters = {name: values for name, values in request.GET.lists() if name != audit_pages.BEFORE}
        detail = {"format": kind, "filters": filters, "most": MOST_EXPORTED, "reason": reason}
        audit.record("audit:log:exported", **actor_of(request), detail=detail)
        content_type, lines = FORMATS[kind]
        note = gettext("There are more: an export ends after %(most)d events.") % {"most": MOST_EXPORTED}
        response = StreamingHttpResponse(lines(_exported(changelist.queryset, note=note)), content_type=f"{content_type}; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="audit.{kind}"'
        return response


class RefusalAdmin(ReadOnlyAdmin):
    list_title = _("Refused requests")
    list_display = ("at", "error_id", "status", "error", "reason", "client_id", "address")
    show_full_result_count = False
    search_fields = ("error_id__exact", "client_id__exact", "address__startswith")
    search_help_text = _("The error_id of the answer, a client_id, a user's id or an address.")
    uuid_search_fields = ("user_id",)
    fields = ("error_id", "at", "status", "error", "reason", "client_id", "user_id", "address", "user_agent", "shape", "skipped_before")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Refusal], search_term: str) -> tuple[QuerySet[Refusal], bool]:
        """An error_id by the primary key alone: a flood leaves millions of rows."""
        if _ERROR_ID.fullmatch(search_term.strip()):
            return queryset.filter(pk=search_term.strip()), False
        return super().get_search_results(request, queryset, search_term)


def _person(event: Any, pk: Any, text: str) -> str:
    """A user by name, with the way to their page for who may see it; anything else as it is, with the way to its other events."""
    if pk in event.names and not event.leads_to_people:
        return format_html('<a href="?q={}">{}</a>', pk, event.names[pk])
    if pk in event.names:
        return format_html('<a href="{}">{}</a>', reverse("admin:accounts_user_change", args=(pk,)), event.names[pk])
    shown = f"{text[:8]}…" if pk is not None else text if len(text) <= 24 else f"{text[:16]}…"
    return format_html('<a href="?q={}" title="{}">{}</a>', text, text, shown) if text else "—"


def _exported(events: Events, *, note: str) -> Iterator[AuditEvent | str]:
    """In bites by the index, so that no statement is long and no cursor stays open; the note at the end when there are more."""
    left, rest = MOST_EXPORTED, events.order_by(*audit_pages.ORDER)
    while left:
        rows = list(rest[: min(EXPORTED_AT_ONCE, left)])
        yield from rows
        left -= len(rows)
        if len(rows) < EXPORTED_AT_ONCE and left:
            return
        rest = audit_pages.after(events.order_by(*audit_pages.ORDER), place=(rows[-1].at, rows[-1].pk))
    if rest.exists():
        yield note
