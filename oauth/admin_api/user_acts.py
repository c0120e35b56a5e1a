"""The administrators' API of what is done to one user: shut out, let in, sign out, send a password reset."""

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
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import lockout, password_reset, user_locks, users
from accounts.api import actor, plain, user_of
from accounts.languages import language_of
from oauth import sessions
from oauth.admin_api.gates import (
    AdminList,
    AdminView,
    Reason,
    as_uuid,
    ensure_permitted,
    find_user,
    reason_in_query,
    record_of,
    refuse_unknown,
)
from oauth.admin_api.users import ID
from oauth.cursor_pages import NewestFirst
from oauth.errors import Conflict
from oauth.models import Session

REASON = OpenApiParameter("reason", str, description="Why; it is kept in the audit log. At most 200 characters.")
DISABLE = "accounts.disable_user"
DONE = {204: OpenApiResponse(description="It is done, now or before.")}


@extend_schema_serializer(examples=[OpenApiExample("Why", {"reason": "ticket 4711: the laptop was stolen"})])
class UserAct(Reason):
    pass


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An editor",
            {
                "id": "8ad819d7-7095-82c4-a6f1-4e89175048ce",
                "client": "codelab-flutter-app",
                "client_name": "CodeLab IDE (Flutter)",
                "scope": "api:read api:write",
                "amr": "pwd",
                "created_at": "2026-01-31T12:00:00.000000Z",
                "last_used_at": "2026-01-31T12:15:00.000000Z",
                "expires_at": "2026-03-02T12:15:00.000000Z",
                "address": "192.0.2.7",
                "user_agent": "curl/8.0",
            },
        )
    ]
)
class UserSessionSerializer(serializers.ModelSerializer[Session]):
    client = serializers.CharField(source="client.client_id")
    client_name = serializers.CharField(source="client.name")
    last_used_at = serializers.DateTimeField(source="refreshed_at")

    class Meta:
        model = Session
        fields = ("id", "client", "client_name", "scope", "amr", "created_at", "last_used_at", "expires_at", "address", "user_agent")
        read_only_fields = fields


class LockUser(AdminView):
    """POST /api/v1/admin/users/{id}/lock: shut a user out until somebody lets them in."""

    permissions = {"POST": ("accounts.view_user", DISABLE)}
    serializer_class = UserAct

    @extend_schema(
        operation_id="lock_user",
        summary="Shut a user out",
        description="Disables the account and ends all its sessions, until somebody unlocks it. Nothing is deleted.",
        parameters=[ID],
        responses=DONE,
    )
    def post(self, request: Request, id: str) -> Response:
        user, members = self.user_within_reach(id), UserAct.read(request)
        users.disable(user, **record_of(request, members["reason"]))
        return Response(status=status.HTTP_204_NO_CONTENT)


class UnlockUser(AdminView):
    """POST /api/v1/admin/users/{id}/unlock: let a user sign in at once."""

    permissions = {"POST": ("accounts.view_user", "accounts.unlock_user")}
    serializer_class = UserAct

    @extend_schema(
        operation_id="unlock_user",
        summary="Let a user in again",
        description="Lifts every lock that failed attempts left on the name. A disabled account is enabled, for who may disable one.",
        parameters=[ID],
        responses=DONE,
    )
    def post(self, request: Request, id: str) -> Response:
        user, members = self.user_within_reach(id), UserAct.read(request)
        if user.is_active:
            lockout.unlock(user.pk, **record_of(request, members["reason"]))
        else:
            # SECURITY: or support lets in again whom somebody shut out.
            ensure_permitted(user_of(request), (DISABLE,))
            user_locks.let_in(user, **record_of(request, members["reason"]))
        return Response(status=status.HTTP_204_NO_CONTENT)


class SendPasswordReset(AdminView):
    """POST /api/v1/admin/users/{id}/password-reset: have a code for another password sent to the user."""

    permissions = {"POST": ("accounts.view_user", "accounts.send_password_reset")}
    serializer_class = UserAct

    @extend_schema(
        operation_id="send_password_reset",
        summary="Send a user a code for another password",
        description="To the address on record. Nothing of the account changes until the code is used.",
        parameters=[ID],
        responses={202: OpenApiResponse(description="The mail is on its way.")},
    )
    def post(self, request: Request, id: str) -> Response:
        user, members = self.user_within_reach(id), UserAct.read(request)
        if not password_reset.can_be_sent(user):
            raise Conflict("The user is disabled or has no e-mail address, or e-mail is not set up on this server.")
        password_reset.send(user, language=language_of(plain(request)), **record_of(request, members["reason"]))
        return Response(status=status.HTTP_202_ACCEPTED)


@extend_schema_view(
    get=extend_schema(
        operation_id="list_user_sessions",
        summary="Where a user is signed in",
        description="The live sessions, newest first, 50 on a page.",
        parameters=[ID],
        responses=OpenApiResponse(UserSessionSerializer(many=True), description="A page of sessions."),
    ),
    delete=extend_schema(
        operation_id="end_user_sessions",
        summary="Sign a user out everywhere",
        description="Ends every session of the user, in browsers too.",
        parameters=[ID, REASON],
        responses=DONE,
    ),
)
class UserSessions(AdminList):
    """GET /api/v1/admin/users/{id}/sessions: where a user is signed in. DELETE: sign them out everywhere."""

    permissions = {
        "GET": ("accounts.view_user", "oauth.view_session"),
        "DELETE": ("accounts.view_user", "accounts.sign_out_user"),
    }
    serializer_class = UserSessionSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Session]:
        return Session.objects.live().filter(user=find_user(self.kwargs["id"])).select_related("client")

    def delete(self, request: Request, id: str) -> Response:
        users.sign_out_everywhere(self.user_within_reach(id), **record_of(request, reason_in_query(request)))
        return Response(status=status.HTTP_204_NO_CONTENT)


class UserSession(AdminView):
    """DELETE /api/v1/admin/users/{id}/sessions/{session_id}: end one session of a user."""

    permissions = {"DELETE": ("accounts.view_user", "oauth.revoke_session")}
    serializer_class = UserSessionSerializer

    @extend_schema(
        operation_id="end_user_session",
        summary="End one session of a user",
        parameters=[
            ID,
            OpenApiParameter("session_id", UUID, OpenApiParameter.PATH, description="As the list of sessions names it."),
            REASON,
        ],
        responses=DONE,
    )
    def delete(self, request: Request, id: str, session_id: str) -> Response:
        user = self.user_within_reach(id)
        session = _find(as_uuid(session_id), user=user)
        sessions.end(session, actor=actor(request), reason=reason_in_query(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _find(session_id: UUID, *, user: Any) -> Session:
    """Raises NotFound."""
    session = Session.objects.select_related("client").filter(pk=session_id, user=user).first()
    return session if session is not None else refuse_unknown("session of this user")
