"""The JSON API of a user's own sessions."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import generics, serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import actor, user_of
from oauth import own_sessions, scopes
from oauth.bearer import claims_of
from oauth.cursor_pages import NewestFirst
from oauth.models import Session


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An editor",
            {
                "id": "8ad819d7-7095-82c4-a6f1-4e89175048ce",
                "client": "codelab-flutter-app",
                "client_name": "CodeLab IDE (Flutter)",
                "created_at": "2026-01-31T12:00:00.000000Z",
                "last_used_at": "2026-01-31T12:15:00.000000Z",
                "address": "192.0.2.7",
                "user_agent": "curl/8.0",
                "current": True,
            },
        )
    ]
)
class SessionSerializer(serializers.ModelSerializer[Session]):
    client = serializers.CharField(source="client.client_id")
    client_name = serializers.CharField(source="client.name")
    last_used_at = serializers.DateTimeField(source="refreshed_at")
    current = serializers.SerializerMethodField(help_text="The session of the token that asks.")

    class Meta:
        model = Session
        fields = ("id", "client", "client_name", "created_at", "last_used_at", "address", "user_agent", "current")
        read_only_fields = fields

    def get_current(self, session: Session) -> bool:
        return bool(claims_of(self.context["request"])["sid"] == str(session.pk))


@extend_schema_view(
    get=extend_schema(
        operation_id="list_sessions",
        summary="Where the user is signed in",
        description="The live sessions, newest first, 50 on a page.",
        responses=OpenApiResponse(SessionSerializer(many=True), description="A page of sessions."),
    ),
    delete=extend_schema(
        operation_id="end_other_sessions",
        summary="Sign out everywhere else",
        description="Ends every session of the user but the one of the token.",
        responses={204: OpenApiResponse(description="They have ended.")},
    ),
)
class SessionList(generics.ListAPIView[Session]):
    """GET /api/v1/sessions: the live sessions of the token's user, newest first. DELETE: end all but the token's own."""

    required_scopes = {"GET": "api:read", "DELETE": scopes.ACCOUNT}
    serializer_class = SessionSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Session, Any]:
        return Session.objects.live().filter(user_id=claims_of(self.request)["sub"]).select_related("client")

    def delete(self, request: Request) -> Response:
        own_sessions.end_others(UUID(claims_of(request)["sid"]), user=user_of(request), actor=actor(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionDetail(generics.GenericAPIView[Session]):
    """DELETE /api/v1/sessions/{id}: end one session of the token's user."""

    required_scopes = {"DELETE": scopes.ACCOUNT}
    serializer_class = SessionSerializer

    @extend_schema(
        operation_id="end_session",
        summary="End one session",
        parameters=[OpenApiParameter("id", UUID, OpenApiParameter.PATH, description="As the list of sessions names it.")],
        responses={204: OpenApiResponse(description="It has ended, now or before.")},
    )
    def delete(self, request: Request, id: str) -> Response:
        own_sessions.end(_session_id(id), user=user_of(request), actor=actor(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _session_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
