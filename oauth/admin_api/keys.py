"""The administrators' API of signing keys: where the schedule stands, and the two acts. No private key is in any answer."""

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import clock
from accounts.bodies import Text
from oauth import key_report, key_rotation, key_rows
from oauth.admin_api.gates import AdminView, Why, record_of, refuse_unknown
from oauth.key_schedule import State
from oauth.models import SigningKey

KID = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
KEY = {
    "kid": KID,
    "algorithm": "RS256",
    "state": "active",
    "published_at": "2025-11-01T09:00:00Z",
    "signs_from": "2025-11-02T09:00:00Z",
    "signs_until": "2026-01-31T09:00:00Z",
    "leaves_at": "2026-02-01T09:01:00Z",
    "last_token_expires_at": "2026-01-01T09:15:00Z",
    "revoked_reason": "",
}


class KeySerializer(serializers.Serializer[Any]):
    kid = serializers.CharField()
    algorithm = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State])
    published_at = serializers.DateTimeField()
    signs_from = serializers.DateTimeField(allow_null=True, help_text="null: not known yet.")
    signs_until = serializers.DateTimeField(allow_null=True, help_text="null: not known yet.")
    leaves_at = serializers.DateTimeField(allow_null=True, help_text="When it leaves the key set; null: not known yet.")
    last_token_expires_at = serializers.DateTimeField(allow_null=True, help_text="Of the tokens signed by it so far; null: none.")
    revoked_reason = serializers.CharField()


@extend_schema_serializer(examples=[OpenApiExample("One", {"next": None, "previous": None, "results": [KEY]})])
class AllKeys(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="null: they are a handful, on one page.")
    previous = serializers.CharField(allow_null=True)
    results = KeySerializer(many=True)


@extend_schema_serializer(examples=[OpenApiExample("Another", {"kid": KID, "reason": "a colleague with access has left"})])
class KeyRotation(Why):
    kid = Text(max_length=255, help_text="The key that you take for the one that signs: two people at once rotate once.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Begun",
            {"kid": "cm90YXRpb24tc3RhbmRieS1rZXktb2YtdGhlLWV4YW1wbGU", "signs_from": "2026-01-31T12:01:02Z", "decided_now": True},
        )
    ]
)
class SuccessionSerializer(serializers.Serializer[key_rotation.Succession]):
    kid = serializers.CharField(help_text="The key that signs next.")
    signs_from = serializers.DateTimeField()
    decided_now = serializers.BooleanField(help_text="false: that stood fast already.")


@extend_schema_serializer(examples=[OpenApiExample("Leaked", {"reason": "a backup with the key was copied"})])
class KeyRevocation(Why):
    pass


class KeyList(AdminView):
    """GET /api/v1/admin/signing-keys: every key, in the order in which they were made."""

    permissions = {"GET": ("oauth.view_signingkey",)}
    serializer_class = AllKeys
    pagination_class = None

    @extend_schema(
        operation_id="list_signing_keys",
        summary="Where the schedule of signing keys stands",
        responses=OpenApiResponse(AllKeys, description="Every key, in the order in which they were made."),
    )
    def get(self, request: Request) -> Response:
        lines = key_report.lines(key_rows.current(), now=clock.database_now())
        return Response({"next": None, "previous": None, "results": KeySerializer(lines, many=True).data})


class RotateKey(AdminView):
    """POST /api/v1/admin/signing-keys/rotate: let the standby sign, as soon as every verifier may know it."""

    permissions = {"POST": ("oauth.view_signingkey", "oauth.rotate_signing_key")}
    serializer_class = KeyRotation

    @extend_schema(
        operation_id="rotate_signing_key",
        summary="Let the next key sign",
        description="As soon as every verifier may know it. No verifier notices.",
        responses=OpenApiResponse(SuccessionSerializer, description="Which key signs next, and from when."),
    )
    def post(self, request: Request) -> Response:
        members = KeyRotation.read(request)
        made = key_rotation.rotate(signer=members["kid"], **record_of(request, members["reason"]))
        return Response(SuccessionSerializer(made).data)


class RevokeKey(AdminView):
    """POST /api/v1/admin/signing-keys/{kid}/revoke: take a key that has leaked out of use, at once."""

    permissions = {"POST": ("oauth.view_signingkey", "oauth.revoke_signing_key")}
    serializer_class = KeyRevocation

    @extend_schema(
        operation_id="revoke_signing_key",
        summary="Take a key that has leaked out of use",
        description="Nothing here takes its tokens a second later. Who verifies offline goes on until the key set is read anew.",
        parameters=[OpenApiParameter("kid", str, OpenApiParameter.PATH, description="As the list of keys names it.")],
        responses={204: OpenApiResponse(description="It is out of use.")},
    )
    def post(self, request: Request, kid: str) -> Response:
        members = KeyRevocation.read(request)
        key_rotation.revoke(_find(kid).kid, **record_of(request, members["reason"]))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _find(kid: str) -> SigningKey:
    """Raises NotFound."""
    key = SigningKey.objects.filter(kid=kid).first() if kid.isprintable() else None
    return key if key is not None else refuse_unknown("key")
