"""The administrators' API of lockouts: which names are refused now, and to lift that."""

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import lockout, user_locks, users
from accounts.api import user_of
from accounts.models import LoginCounter, User
from oauth.admin_api.gates import AdminList, AdminView, Reason, find_uuid, record_of, refuse_unknown, word_in_query
from oauth.cursor_pages import ByInstant
from oauth.errors import NotPermitted

MOST_ID = 2**63


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Alice",
            {
                "id": 42,
                "user_id": "fc949d11-7bab-45c6-b5c3-69c3a4146111",
                "username": "alice",
                "source": "192.0.2.7",
                "failures": 5,
                "locked_at": "2026-01-31T12:00:00Z",
                "opens_at": "2026-01-31T12:15:00Z",
            },
        )
    ]
)
class LockoutSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    user_id = serializers.UUIDField(allow_null=True, help_text="Whose name it is; null for a name that is nobody's.")
    username = serializers.CharField(allow_null=True, help_text="What was typed for a name that is nobody's is not kept.")
    source = serializers.CharField(  # type: ignore[assignment] # DRF's own `source` is an attribute of fields alone
        help_text="An address or its network; `*`: every address that is not known for this user."
    )
    failures = serializers.IntegerField(source="lane_failures", help_text="In 30 days.")
    locked_at = serializers.SerializerMethodField()
    opens_at = serializers.DateTimeField(source="locked_until")

    def get_locked_at(self, row: LoginCounter) -> str:
        return str(serializers.DateTimeField().to_representation(user_locks.lock_of(row).locked_at))


@extend_schema_serializer(examples=[OpenApiExample("Why", {"reason": "ticket 4711: forgot the new password"})])
class LockoutAct(Reason):
    pass


class EndsLast(ByInstant):
    ordering = ("-locked_until", "-pk")
    example_path = "/api/v1/admin/lockouts"


@extend_schema_view(
    get=extend_schema(
        operation_id="list_lockouts",
        summary="Which names are locked now",
        description="Those that open last come first, 50 on a page.",
        parameters=[
            OpenApiParameter("address", str, description="Only those from this source."),
            OpenApiParameter("user", {"type": "string", "format": "uuid"}, description="Only those of this user."),
        ],
        responses=OpenApiResponse(LockoutSerializer(many=True), description="A page of locks."),
    )
)
class LockoutList(AdminList):
    """GET /api/v1/admin/lockouts: which names are locked now."""

    permissions = {"GET": ("accounts.view_logincounter",)}
    serializer_class = LockoutSerializer
    pagination_class = EndsLast

    def get_queryset(self) -> QuerySet[Any]:
        address, user = word_in_query(self.request, "address"), word_in_query(self.request, "user")
        rows = LoginCounter.objects.locked()
        if address:
            rows = rows.filter(source=address)
        if user:
            rows = rows.filter(user_id=find_uuid(user) or refuse_unknown("user"))
        return rows.annotate(username=Subquery(User.objects.filter(pk=OuterRef("user_id")).values("username")[:1]))


class LiftLockout(AdminView):
    """POST /api/v1/admin/lockouts/{id}/unlock: lift every lock on this name."""

    permissions = {"POST": ("accounts.view_logincounter", "accounts.unlock_user")}
    serializer_class = LockoutAct

    @extend_schema(
        operation_id="lift_lockout",
        summary="Lift every lock on a name",
        description="For all sources, and its failures are forgotten. A disabled account stays disabled.",
        parameters=[OpenApiParameter("id", int, OpenApiParameter.PATH, description="As the list of lockouts names it.")],
        responses={204: OpenApiResponse(description="It is lifted, now or before.")},
    )
    def post(self, request: Request, id: str) -> Response:
        counter, members = _find(id), LockoutAct.read(request)
        _ensure_within_reach(counter, staff=user_of(request))
        lockout.unlock_name(bytes(counter.digest), user_id=counter.user_id, **record_of(request, members["reason"]))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _find(id: str) -> LoginCounter:
    """Raises NotFound."""
    number = int(id) if id.isascii() and id.isdecimal() and len(id) < 20 else MOST_ID
    counter = LoginCounter.objects.filter(pk=number).first() if number < MOST_ID else None
    return counter if counter is not None else refuse_unknown("lockout")


def _ensure_within_reach(counter: LoginCounter, *, staff: User) -> None:
    """Raises NotPermitted."""
    owner = User.objects.filter(pk=counter.user_id).first()
    # SECURITY: or support lets who guesses at an owner's password go on.
    if owner is not None and not users.may_touch(staff, owner):
        raise NotPermitted("staff are for superusers alone", user_id=owner.pk)
