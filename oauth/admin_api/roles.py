"""The administrators' API of application roles: which there are, to make one and to remove one."""

from django.db.models import QuerySet
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

from accounts import role_changes
from accounts.bodies import Text
from accounts.models import Role
from oauth.admin_api.gates import AdminList, AdminView, Reason, reason_in_query, record_of
from oauth.admin_api.user_acts import REASON
from oauth.cursor_pages import ByText


@extend_schema_serializer(examples=[OpenApiExample("A role", {"name": "reviewer", "description": "Reads what authors hand in"})])
class RoleSerializer(serializers.ModelSerializer[Role]):
    class Meta:
        model = Role
        fields = ("name", "description")
        read_only_fields = fields


@extend_schema_serializer(
    examples=[OpenApiExample("A role", {"name": "reviewer", "description": "Reads what authors hand in", "reason": "the new board"})]
)
class NewRole(Reason):
    name = Text(max_length=64, help_text="As it stands in access tokens.")
    description = Text(max_length=200, required=False, allow_blank=True, default="", help_text="For people.")


class ByName(ByText):
    ordering = "name"
    example_path = "/api/v1/admin/roles"


@extend_schema_view(
    get=extend_schema(
        operation_id="list_roles",
        summary="Which application roles there are",
        description="By name, 50 on a page.",
        responses=OpenApiResponse(RoleSerializer(many=True), description="A page of roles."),
    ),
    post=extend_schema(
        operation_id="create_role",
        summary="Make a role",
        request=NewRole,
        responses={201: OpenApiResponse(RoleSerializer, description="The role.")},
    ),
)
class RoleList(AdminList):
    """GET /api/v1/admin/roles: which there are. POST: make one."""

    permissions = {"GET": ("accounts.view_role",), "POST": ("accounts.view_role", "accounts.add_role")}
    serializer_class = RoleSerializer
    pagination_class = ByName

    def get_queryset(self) -> QuerySet[Role]:
        return Role.objects.all()

    def post(self, request: Request) -> Response:
        members = NewRole.read(request)
        reason = members.pop("reason")
        role = role_changes.create(**members, **record_of(request, reason))
        return Response(RoleSerializer(role).data, status=status.HTTP_201_CREATED)


class RoleDetail(AdminView):
    """DELETE /api/v1/admin/roles/{name}: remove a role, from everybody."""

    permissions = {"DELETE": ("accounts.view_role", "accounts.delete_role")}
    serializer_class = RoleSerializer

    @extend_schema(
        operation_id="delete_role",
        summary="Remove a role",
        description="Nobody has it any more, from their next access token on.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="As it stands in access tokens."), REASON],
        responses={204: OpenApiResponse(description="It is gone, now or before.")},
    )
    def delete(self, request: Request, name: str) -> Response:
        role_changes.delete(name, **record_of(request, reason_in_query(request)))
        return Response(status=status.HTTP_204_NO_CONTENT)
