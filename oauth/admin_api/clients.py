"""The administrators' API of clients: which there are, what they may do. A secret is told once, to who had it made."""

from typing import Any

from django.db.models import Q, QuerySet
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

from accounts.bodies import Flag, Number, Text, Words
from oauth import client_changes, client_form, clients
from oauth.admin_api.gates import AdminList, AdminView, Reason, record_of, refuse_unknown, word_in_query
from oauth.cursor_pages import ByText
from oauth.models import GRANT_TYPE_CHOICES, Client

CLIENT_ID = OpenApiParameter("client_id", str, OpenApiParameter.PATH, description="The client's name on the wire.")
BILLING: dict[str, Any] = {
    "client_id": "billing-service",
    "name": "Billing",
    "client_type": "confidential",
    "is_active": True,
    "grant_types": ["client_credentials"],
    "allowed_scopes": "api:read api:write",
    "default_scopes": "api:read",
    "redirect_uris": [],
    "post_logout_redirect_uris": [],
    "allowed_origins": [],
    "skip_authorization": False,
    "require_pkce": True,
    "resources": [],
    "audience": "",
    "served_audiences": "",
    "may_introspect": False,
    "access_token_lifetime": None,
    "refresh_token_lifetime": None,
    "refresh_overlap_seconds": None,
    "secret_created_at": "2026-01-31T12:00:00Z",
    "previous_secret_expires_at": None,
    "created": "2026-01-31T12:00:00Z",
    "updated": "2026-01-31T12:00:00Z",
}
CLIENT_TYPES = [Client.CLIENT_CONFIDENTIAL, Client.CLIENT_PUBLIC]
SECRET = "JpS8mQ2vXw0cN5tRzKb7HdLf3GyAeUi1oVxCqMnTs4k"  # noqa: S105 - an example


class _Lines(serializers.ListField):
    """A column of texts parted by spaces, as a list."""

    child = serializers.CharField()

    def to_representation(self, data: Any) -> list[str]:
        return list(data.split())


@extend_schema_serializer(examples=[OpenApiExample("A service", BILLING)])
class ClientSerializer(serializers.ModelSerializer[Client]):
    client_type = serializers.ChoiceField(choices=CLIENT_TYPES)
    grant_types = serializers.ListField(child=serializers.CharField())
    redirect_uris = _Lines()
    post_logout_redirect_uris = _Lines()
    resources = _Lines()
    allowed_origins = _Lines()

    class Meta:
        model = Client
        # SECURITY: the digests of the secrets are not among them.
        fields = tuple(BILLING)
        read_only_fields = fields


@extend_schema_serializer(examples=[OpenApiExample("A service", {**BILLING, "client_secret": SECRET})])
class RegisteredClient(ClientSerializer):
    client_secret = serializers.CharField(allow_null=True, help_text="Seen here and never again; null for a public client.")

    class Meta(ClientSerializer.Meta):
        fields = (*ClientSerializer.Meta.fields, "client_secret")
        read_only_fields = fields


def told(made: clients.Registration) -> dict[str, Any]:
    """A client with its new secret."""
    body: dict[str, Any] = ClientSerializer(made.client).data
    return {**body, "client_secret": made.secret_value}


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A service",
            {
                "client_id": "billing-service",
                "name": "Billing",
                "client_type": "confidential",
                "grant_types": ["client_credentials"],
                "allowed_scopes": "api:read api:write",
                "default_scopes": "api:read",
                "reason": "the billing team's",
            },
        )
    ]
)
class NewClient(Reason):
    client_id = Text(max_length=255, help_text="Its name on the wire. It cannot be changed later.")
    client_type = serializers.ChoiceField(choices=CLIENT_TYPES, help_text="Public: it can keep no secret.")
    grant_types = Words(help_text=f"Of {', '.join(GRANT_TYPE_CHOICES)}.")
    allowed_scopes = Text(max_length=2000, help_text="What it may ask for, parted by spaces.")
    name = Text(max_length=255, required=False, allow_blank=True, default="", help_text="Its name for people; else its client_id.")
    default_scopes = Text(
        max_length=2000,
        required=False,
        allow_blank=True,
        default="",
        help_text="What it gets when it asks for nothing; else all but what is given only when asked for.",
    )
    may_introspect = Flag(required=False, default=False, help_text="May ask whether tokens are active.")
    served_audiences = Text(max_length=2000, required=False, allow_blank=True, default="", help_text="Whose tokens it may ask about.")
    refresh_overlap_seconds = Number(
        required=False, allow_null=True, default=None, min_value=0, max_value=60, help_text="null: the server's."
    )


@extend_schema_serializer(
    examples=[OpenApiExample("A page in a browser", {"allowed_origins": ["https://app.example.com"], "reason": "the new front end"})]
)
class ClientChange(Reason):
    name = Text(max_length=255, required=False, help_text="Its name for people.")
    redirect_uris = Words(required=False, help_text="Where authorization codes are sent.")
    post_logout_redirect_uris = Words(required=False, help_text="Where users may be sent after they have signed out.")
    skip_authorization = Flag(required=False, help_text="One of your own: its users are not asked whether it may.")
    require_pkce = Flag(required=False, help_text="A public client has to use PKCE whatever stands here.")
    resources = Words(required=False, help_text="Absolute URIs that it may get tokens for, beside its audience (RFC 8707).")
    allowed_origins = Words(required=False, help_text="Whose pages may call the API from a browser.")
    grant_types = Words(required=False, help_text=f"Of {', '.join(GRANT_TYPE_CHOICES)}.")
    allowed_scopes = Text(max_length=2000, required=False, allow_blank=True, help_text="What it may ask for, parted by spaces.")
    default_scopes = Text(max_length=2000, required=False, allow_blank=True, help_text="What it gets when it asks for nothing.")
    may_introspect = Flag(required=False, help_text="May ask whether tokens are active.")
    served_audiences = Text(max_length=2000, required=False, allow_blank=True, help_text="Whose tokens it may ask about.")
    audience = Text(max_length=255, required=False, allow_blank=True, help_text="aud of its tokens; empty: the server's.")
    access_token_lifetime = Number(required=False, allow_null=True, min_value=1, max_value=86400, help_text="Seconds; null: the server's.")
    refresh_token_lifetime = Number(
        required=False, allow_null=True, min_value=1, max_value=315360000, help_text="Seconds; null: the server's."
    )
    refresh_overlap_seconds = Number(required=False, allow_null=True, min_value=0, max_value=60, help_text="null: the server's.")


class ByClientId(ByText):
    ordering = "client_id"
    example_path = "/api/v1/admin/clients"


@extend_schema_view(
    get=extend_schema(
        operation_id="list_clients",
        summary="Which clients there are",
        description="By client_id, 50 on a page.",
        parameters=[OpenApiParameter("q", str, description="A part of name or client_id.")],
        responses=OpenApiResponse(ClientSerializer(many=True), description="A page of clients."),
    ),
    post=extend_schema(
        operation_id="create_client",
        summary="Register a client",
        description="The secret of a confidential one is in the answer, and never seen again.",
        request=NewClient,
        responses={201: OpenApiResponse(RegisteredClient, description="The client, and its secret.")},
    ),
)
class ClientList(AdminList):
    """GET /api/v1/admin/clients: which there are. POST: register one."""

    permissions = {"GET": ("oauth.view_client",), "POST": ("oauth.view_client", "oauth.add_client")}
    serializer_class = ClientSerializer
    pagination_class = ByClientId

    def get_queryset(self) -> QuerySet[Client]:
        text = word_in_query(self.request, "q")
        found: QuerySet[Client] = Client.objects.filter(Q(name__icontains=text) | Q(client_id__icontains=text) if text else Q())
        return found

    def post(self, request: Request) -> Response:
        members = NewClient.read(request)
        client_id, client_type, reason = (members.pop(name) for name in ("client_id", "client_type", "reason"))
        members["name"] = members["name"] or client_id
        members["default_scopes"] = members["default_scopes"] or client_form.all_but_special(members["allowed_scopes"])
        made = clients.register(client_id, is_public=client_type == Client.CLIENT_PUBLIC, **members, **record_of(request, reason))
        return Response(told(made), status=status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(
        operation_id="read_client",
        summary="One client",
        parameters=[CLIENT_ID],
        responses=OpenApiResponse(ClientSerializer, description="The client."),
    ),
    patch=extend_schema(
        operation_id="change_client",
        summary="Change what a client is and may do",
        description="What is not sent stays. It takes effect within a second.",
        parameters=[CLIENT_ID],
        request=ClientChange,
        responses=OpenApiResponse(ClientSerializer, description="The client, as it is now."),
    ),
)
class ClientDetail(AdminView):
    """GET /api/v1/admin/clients/{client_id}: one client. PATCH: change it."""

    permissions = {"GET": ("oauth.view_client",), "PATCH": ("oauth.view_client", "oauth.change_client")}
    serializer_class = ClientSerializer

    def get(self, request: Request, client_id: str) -> Response:
        return Response(ClientSerializer(find_client(client_id)).data)

    def patch(self, request: Request, client_id: str) -> Response:
        client, members = find_client(client_id), ClientChange.read(request)
        reason = members.pop("reason")
        return Response(ClientSerializer(client_changes.change(client, fields=members, **record_of(request, reason))).data)


def find_client(client_id: str) -> Client:
    """Raises NotFound."""
    # A URL may spell what no client_id is made of, and PostgreSQL would refuse it.
    is_one = client_id.isascii() and client_id.isprintable()
    client: Client | None = Client.objects.filter(client_id=client_id).first() if is_one else None
    return client if client is not None else refuse_unknown("client")
