"""The JSON API of a user's own sessions."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from oauth.bearer import claims_of
from oauth.models import Session


class SessionSerializer(serializers.ModelSerializer[Session]):
    client = serializers.CharField(source="client.client_id")
    client_name = serializers.CharField(source="client.name")
    last_used_at = serializers.DateTimeField(source="refreshed_at")
    current = serializers.SerializerMethodField(help_text="The session of the token that asks.")

    class Meta:
        model = Session
        fields = ("id", "client", "client_name", "created_at", "last_used_at", "address", "user_agent", "current")

    def get_current(self, session: Session) -> bool:
        return bool(claims_of(self.context["request"])["sid"] == str(session.pk))


class NewestFirst(CursorPagination):
    """Pages with `next`, `previous` and `results`, stable while rows come and go."""

    ordering = ("-created_at", "-pk")
    page_size = 50

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except ValidationError:  # a cursor that decodes, and holds no instant
            raise NotFound from None


class SessionList(generics.ListAPIView[Session]):
    """GET /api/v1/sessions: the live sessions of the token's user, newest first."""

    required_scope = "api:read"
    serializer_class = SessionSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Session, Any]:
        return Session.objects.live().filter(user_id=claims_of(self.request)["sub"]).select_related("client")
