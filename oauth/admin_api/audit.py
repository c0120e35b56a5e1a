"""The administrators' API of the audit log: to read it, by the questions that its page answers."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers

from accounts import audit, audit_pages, audit_search
from accounts.models import AuditEvent
from oauth.admin_api.gates import AdminList, word_in_query
from oauth.cursor_pages import ByInstant
from oauth.errors import InvalidRequest


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A client's secret",
            {
                "id": 4711,
                "at": "2026-01-31T12:00:00.000000Z",
                "event": "client:secret:rotated",
                "actor_id": "fc949d11-7bab-45c6-b5c3-69c3a4146111",
                "target": "",
                "client_id": "billing-service",
                "address": "192.0.2.7",
                "user_agent": "curl/8.0",
                "error_id": "",
                "detail": {"old_secret_seconds": 86400, "reason": "the secret is a year old"},
            },
        )
    ]
)
class EventSerializer(serializers.ModelSerializer[AuditEvent]):
    detail = serializers.JSONField(help_text="What the event's page in the documentation says.")

    class Meta:
        model = AuditEvent
        fields = ("id", "at", "event", "actor_id", "target", "client_id", "address", "user_agent", "error_id", "detail")
        read_only_fields = fields


class NewestEvents(ByInstant):
    ordering = audit_pages.ORDER
    example_path = "/api/v1/admin/audit"
    page_size = 100


@extend_schema_view(
    get=extend_schema(
        operation_id="list_audit_events",
        summary="What happened",
        description="Newest first, 100 on a page, of the last seven days unless `when` names another time.",
        parameters=[
            OpenApiParameter(
                "q", str, description="A user name, e-mail address, client_id, id, address or error_id; whole, not a part of it."
            ),
            OpenApiParameter("event", str, description="One event, or all of a subject: `user:`."),
            OpenApiParameter("outcome", str, description="The last word of an event."),
            OpenApiParameter("when", str, enum=[*filter(None, audit_search.WINDOWS)], description="The last hour, day, month or year."),
            OpenApiParameter("address", str, description="Where it came from."),
        ],
        responses=OpenApiResponse(EventSerializer(many=True), description="A page of events."),
    )
)
class EventList(AdminList):
    """GET /api/v1/admin/audit: what happened."""

    permissions = {"GET": ("accounts.view_auditevent",)}
    serializer_class = EventSerializer
    pagination_class = NewestEvents

    def get_queryset(self) -> QuerySet[AuditEvent]:
        events: Any = AuditEvent.objects.all()
        events = audit_search.of_event(events, self.chosen("event", _EVENTS))
        events = audit_search.of_outcome(events, self.chosen("outcome", audit_search.OUTCOMES))
        events = audit_search.within(events, self.chosen("when", audit_search.WINDOWS))
        events = audit_search.at_address(events, word_in_query(self.request, "address"))
        return audit_search.about(events, word_in_query(self.request, "q"))

    def chosen(self, name: str, choices: Any) -> str:
        """One of these words, or nothing. Raises InvalidRequest: a filter that is misspelled shows everything."""
        word = word_in_query(self.request, name)
        if word and word not in choices:
            raise InvalidRequest(f"{name} is none of the words that may stand there.")
        return word


_EVENTS = audit.EVENTS | {f"{event.partition(':')[0]}:" for event in audit.EVENTS}
