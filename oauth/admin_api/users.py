"""The administrators' API of users: who there is, what staff may change of them."""

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
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

from accounts import account_changes
from accounts.api import Name, user_of
from accounts.bodies import Text
from accounts.models import LoginCounter, User
from accounts.roles import parse_names
from oauth.admin_api.gates import AdminList, AdminView, Reason, as_uuid, find_uuid, record_of, refuse_unknown, word_in_query
from oauth.cursor_pages import ByText
from oauth.errors import InvalidRequest

ID = OpenApiParameter("id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH, description="The `sub` of the user's tokens.")
ALICE = {
    "id": "fc949d11-7bab-45c6-b5c3-69c3a4146111",
    "username": "alice",
    "email": "alice@example.com",
    "name": "Alice Liddell",
    "is_active": True,
    "is_locked": False,
    "is_staff": False,
    "is_superuser": False,
    "awaits_confirmation": False,
    "second_factor": False,
    "roles": ["author", "reviewer"],
    "last_sign_in_at": "2026-01-31T12:00:00Z",
    "created_at": "2025-11-02T09:30:00Z",
}


@extend_schema_serializer(examples=[OpenApiExample("Alice", ALICE)])
class UserSerializer(serializers.ModelSerializer[User]):
    is_locked = serializers.BooleanField(read_only=True, help_text="Too many attempts on the name failed; somewhere it is refused now.")
    second_factor = serializers.BooleanField(source="has_second_factor", read_only=True)
    roles = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = tuple(ALICE)
        read_only_fields = fields

    def get_roles(self, user: Any) -> list[str]:
        return list(parse_names(user.role_names_json))


@extend_schema_serializer(
    examples=[OpenApiExample("Bob", {"username": "bob", "email": "bob@example.com", "name": "Bob", "reason": "starts on Monday"})]
)
class NewUser(Reason):
    username = Text(max_length=254, help_text="Without @ and spaces; case does not matter.")
    email = Text(max_length=254, required=False, allow_blank=True, default="", help_text="Where a code for the first password can be sent.")
    name = Name(max_length=200, required=False, allow_blank=True, default="", help_text="How the user is called.")


@extend_schema_serializer(examples=[OpenApiExample("Another address", {"email": "alice@example.org", "reason": "ticket 4711"})])
class UserChange(Reason):
    username = Text(max_length=254, required=False, help_text="Without @ and spaces; case does not matter.")
    email = Text(max_length=254, required=False, allow_blank=True, help_text="Counts as confirmed.")
    name = Name(max_length=200, required=False, allow_blank=True, help_text="How the user is called.")


@extend_schema_serializer(examples=[OpenApiExample("Two roles", {"roles": ["author", "reviewer"]})])
class RoleNames(serializers.Serializer[Any]):
    roles = serializers.ListField(child=serializers.CharField())


@extend_schema_serializer(examples=[OpenApiExample("Two roles", {"roles": ["author", "reviewer"], "reason": "joined the board"})])
class RolesOfUser(Reason):
    roles = serializers.ListField(child=Text(max_length=64), max_length=200, help_text="The names of all roles that the user is to have.")


class ByUsername(ByText):
    ordering = "username_canonical"
    example_path = "/api/v1/admin/users"


def whole(users: QuerySet[User] | None = None) -> QuerySet[User]:
    """Each user with all that an answer tells, in one statement."""
    rows: Any = User.objects.all() if users is None else users
    locks = LoginCounter.objects.locked().filter(user_id=OuterRef("pk"))
    found: QuerySet[User] = rows.with_role_names().with_second_factor().annotate(is_locked=Exists(locks))
    return found


def answer(pk: Any, *, code: int = status.HTTP_200_OK) -> Response:
    """One user, as they are now. Raises NotFound."""
    user = whole().filter(pk=pk).first()
    return Response(UserSerializer(user).data, status=code) if user is not None else refuse_unknown("user")


@extend_schema_view(
    get=extend_schema(
        operation_id="list_users",
        summary="Who there is",
        description="By user name, 50 on a page.",
        parameters=[
            OpenApiParameter("q", str, description="A part of user name, e-mail address or name; or a whole id."),
            OpenApiParameter("state", str, enum=["active", "locked", "disabled"], description="Only these."),
        ],
        responses=OpenApiResponse(UserSerializer(many=True), description="A page of users."),
    ),
    post=extend_schema(
        operation_id="create_user",
        summary="Make a user",
        description="Without a password: they choose one with the code of a password reset.",
        request=NewUser,
        responses={201: OpenApiResponse(UserSerializer, description="The user.")},
    ),
)
class UserList(AdminList):
    """GET /api/v1/admin/users: who there is. POST: make a user."""

    permissions = {"GET": ("accounts.view_user",), "POST": ("accounts.view_user", "accounts.add_user", "accounts.change_user")}
    serializer_class = UserSerializer
    pagination_class = ByUsername

    def get_queryset(self) -> QuerySet[User]:
        narrowed = _matching(word_in_query(self.request, "q")) & _in_state(word_in_query(self.request, "state"))
        return whole(User.objects.filter(narrowed))

    def post(self, request: Request) -> Response:
        members = NewUser.read(request)
        reason = members.pop("reason")
        user = account_changes.create(**members, **record_of(request, reason))
        return answer(user.pk, code=status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(
        operation_id="read_user",
        summary="One user",
        parameters=[ID],
        responses=OpenApiResponse(UserSerializer, description="The user."),
    ),
    patch=extend_schema(
        operation_id="change_user",
        summary="Change a user's names and address",
        parameters=[ID],
        request=UserChange,
        responses=OpenApiResponse(UserSerializer, description="The user, as they are now."),
    ),
)
class UserDetail(AdminView):
    """GET /api/v1/admin/users/{id}: one user. PATCH: other names, another address."""

    permissions = {"GET": ("accounts.view_user",), "PATCH": ("accounts.view_user", "accounts.change_user")}
    serializer_class = UserSerializer

    def get(self, request: Request, id: str) -> Response:
        return answer(as_uuid(id))

    def patch(self, request: Request, id: str) -> Response:
        user, members = self.user_within_reach(id), UserChange.read(request)
        reason = members.pop("reason")
        account_changes.change(user, fields=members, staff=user_of(request), **record_of(request, reason))
        return answer(user.pk)


@extend_schema_view(
    get=extend_schema(
        operation_id="read_user_roles",
        summary="A user's application roles",
        parameters=[ID],
        responses=OpenApiResponse(RoleNames, description="Their names."),
    ),
    put=extend_schema(
        operation_id="set_user_roles",
        summary="Give a user these roles and no others",
        description="They stand in the user's access tokens from the next one on.",
        parameters=[ID],
        request=RolesOfUser,
        responses=OpenApiResponse(RoleNames, description="Their names."),
    ),
)
class UserRoles(AdminView):
    """GET /api/v1/admin/users/{id}/roles: a user's application roles. PUT: these and no others."""

    permissions = {"GET": ("accounts.view_user",), "PUT": ("accounts.view_user", "accounts.change_user", "accounts.change_role")}
    serializer_class = RoleNames

    def get(self, request: Request, id: str) -> Response:
        return Response({"roles": answer(as_uuid(id)).data["roles"]})

    def put(self, request: Request, id: str) -> Response:
        user, members = self.user_within_reach(id), RolesOfUser.read(request)
        reason = members["reason"]
        account_changes.set_roles(user, role_names=members["roles"], staff=user_of(request), **record_of(request, reason))
        return Response({"roles": sorted({*members["roles"]})})


def _matching(text: str) -> Q:
    if not text:
        return Q()
    known = find_uuid(text)
    if known is not None:
        return Q(pk=known)
    return Q(username_canonical__icontains=text) | Q(email_canonical__icontains=text) | Q(name__icontains=text)


def _in_state(word: str) -> Q:
    """Raises InvalidRequest."""
    locked = LoginCounter.objects.locked().filter(user_id__isnull=False).values("user_id")
    narrowed = {"": Q(), "active": Q(is_active=True), "locked": Q(is_active=True, pk__in=locked), "disabled": Q(is_active=False)}
    if word not in narrowed:
        raise InvalidRequest("state is one of active, locked, disabled.")
    return narrowed[word]
