"""The administrators' API of what is done to one client: disable, enable, another secret."""

from datetime import timedelta

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Flag
from oauth import client_switch, clients
from oauth.admin_api.clients import CLIENT_ID, RegisteredClient, find_client, told
from oauth.admin_api.gates import AdminView, Why, record_of
from oauth.client_acts import KEEP_OLD
from oauth.errors import Conflict

DONE = {204: OpenApiResponse(description="It is done, now or before.")}


@extend_schema_serializer(examples=[OpenApiExample("Why", {"reason": "the contract has ended"})])
class ClientAct(Why):
    pass


@extend_schema_serializer(
    examples=[
        OpenApiExample("On schedule", {"keep_old": True, "reason": "the secret is a year old"}),
        OpenApiExample("Leaked", {"keep_old": False, "reason": "the secret stood in a public repository"}),
    ]
)
class SecretRotation(Why):
    keep_old = Flag(required=False, default=True, help_text="The secret before works for 24 hours more; false where it may have leaked.")


class DisableClient(AdminView):
    """POST /api/v1/admin/clients/{client_id}/disable: it gets no token from now on."""

    permissions = {"POST": ("oauth.view_client", "oauth.disable_client")}
    serializer_class = ClientAct

    @extend_schema(
        operation_id="disable_client",
        summary="Disable a client",
        description="It gets no token, and its sessions do not refresh, until it is enabled.",
        parameters=[CLIENT_ID],
        responses=DONE,
    )
    def post(self, request: Request, client_id: str) -> Response:
        client, members = find_client(client_id), ClientAct.read(request)
        client_switch.disable(client, **record_of(request, members["reason"]))
        return Response(status=status.HTTP_204_NO_CONTENT)


class EnableClient(AdminView):
    """POST /api/v1/admin/clients/{client_id}/enable: it gets tokens again."""

    permissions = {"POST": ("oauth.view_client", "oauth.disable_client")}
    serializer_class = ClientAct

    @extend_schema(
        operation_id="enable_client",
        summary="Enable a client",
        description="It gets tokens again, and the sessions that have not ended go on.",
        parameters=[CLIENT_ID],
        responses=DONE,
    )
    def post(self, request: Request, client_id: str) -> Response:
        client, members = find_client(client_id), ClientAct.read(request)
        client_switch.enable(client, **record_of(request, members["reason"]))
        return Response(status=status.HTTP_204_NO_CONTENT)


class RotateSecret(AdminView):
    """POST /api/v1/admin/clients/{client_id}/rotate-secret: another secret, told once."""

    permissions = {"POST": ("oauth.view_client", "oauth.rotate_client_secret")}
    serializer_class = SecretRotation

    @extend_schema(
        operation_id="rotate_client_secret",
        summary="Give a client another secret",
        description="It is in the answer, and never seen again.",
        parameters=[CLIENT_ID],
        responses=OpenApiResponse(RegisteredClient, description="The client, and its new secret."),
    )
    def post(self, request: Request, client_id: str) -> Response:
        client, members = find_client(client_id), SecretRotation.read(request)
        if client.is_public:
            raise Conflict("A public client has no secret.")
        keep = KEEP_OLD if members["keep_old"] else timedelta(0)
        made = clients.rotate_secret(client, keep_old_for=keep, **record_of(request, members["reason"]))
        return Response(told(made))
