"""The JSON API of a user's own account, as far as it needs neither their password nor their sessions."""

import unicodedata
from typing import Any, cast

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer, extend_schema_view
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import confirmations, profiles
from accounts.actors import Actor, actor_of
from accounts.bodies import Body, Secret, Text
from accounts.languages import language_of
from accounts.models import User
from accounts.roles import parse_names


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Alice",
            {
                "id": "fc949d11-7bab-45c6-b5c3-69c3a4146111",
                "username": "alice",
                "email": "alice@example.com",
                "name": "Alice Liddell",
                "roles": ["author", "reviewer"],
                "second_factor": False,
            },
        )
    ]
)
class ProfileSerializer(serializers.ModelSerializer[User]):
    roles = serializers.SerializerMethodField()
    second_factor = serializers.BooleanField(source="has_second_factor", read_only=True)

    class Meta:
        model = User
        fields = ("id", "username", "email", "name", "roles", "second_factor")
        read_only_fields = fields

    def get_roles(self, user: Any) -> list[str]:
        return list(parse_names(user.role_names_json))


class Name(Text):
    """In NFC: how long it is and whether it is another one does not depend on the keyboard."""

    def to_internal_value(self, data: Any) -> str:
        return unicodedata.normalize("NFC", super().to_internal_value(data))


@extend_schema_serializer(examples=[OpenApiExample("Another name", {"name": "Alice Liddell"})])
class ProfileChange(Body):
    name = Name(max_length=200, allow_blank=True, help_text="How the user is called, up to 200 characters; may be empty.")


@extend_schema_serializer(examples=[OpenApiExample("A code", {"token": "7QkqV0m9c1xL2nYt8ZrWbA5dEfGhJuKpXsCvBnM3oIe"})])
class EmailConfirmation(Body):
    token = Secret(help_text="The code from the mail.")


@extend_schema_view(
    get=extend_schema(
        operation_id="read_profile",
        summary="Who the token's user is",
        responses=OpenApiResponse(ProfileSerializer, description="The user."),
    ),
    patch=extend_schema(
        operation_id="change_profile",
        summary="Change the user's name",
        responses=OpenApiResponse(ProfileSerializer, description="The user, by the new name."),
    ),
)
class Profile(generics.RetrieveAPIView[User]):
    """GET /api/v1/me: who the token's user is. PATCH: another name."""

    required_scopes = {"GET": "api:read", "PATCH": "auth:account"}

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return ProfileChange if self.request.method == "PATCH" else ProfileSerializer

    def get_object(self) -> User:
        """With roles and second factor, in one statement."""
        user: User = User.objects.with_role_names().with_second_factor().get(pk=user_of(self.request).pk)
        return user

    def patch(self, request: Request) -> Response:
        members, user = ProfileChange.read(request), user_of(request)
        profiles.change(user, name=members["name"], actor=actor(request), client_id=client_id_of(request))
        return Response(ProfileSerializer(self.get_object()).data)


class ConfirmEmail(generics.GenericAPIView[User]):
    """POST /api/v1/confirm-email: a code from a mail, from who needs no other token."""

    authentication_classes = ()
    permission_classes = ()
    serializer_class = EmailConfirmation

    @extend_schema(
        operation_id="confirm_email",
        summary="Confirm an e-mail address",
        description="With the code from the mail, and without an access token.",
        responses={204: OpenApiResponse(description="The address is the user's.")},
    )
    def post(self, request: Request) -> Response:
        members = EmailConfirmation.read(request)
        confirmations.confirm(members["token"], language=language_of(plain(request)), actor=actor(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def user_of(request: Request) -> User:
    """The user of the token that came with this request."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - for the type checker: the scope is of a user's token
    return user


def client_id_of(request: Request) -> str:
    """Of the client that the token was given to."""
    claims = cast(dict[str, Any], request.auth)  # set by the authentication class
    return str(claims["client_id"])


def actor(request: Request) -> Actor:
    return actor_of(plain(request))


def plain(request: Request) -> HttpRequest:
    """REST framework's request stands for Django's, with the user of the token in place of the browser's."""
    return cast(HttpRequest, request)
