"""The JSON API for who has no token: a forgotten password, and an account of one's own."""

from django.core.exceptions import ValidationError
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import exceptions, generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import email_change, outbox, password_reset, registration, throttling
from accounts.api import Name, actor, plain
from accounts.bodies import Body, Secret, Text
from accounts.identifiers import InvalidIdentifier
from accounts.languages import language_of
from accounts.models import User

_ACCEPTED = OpenApiResponse(
    {"type": "object", "required": ["status"], "properties": {"status": {"const": "mail_sent_if_possible"}}},
    description="The same whether or not the address is somebody's.",
    examples=[OpenApiExample("Accepted", {"status": "mail_sent_if_possible"})],
)


class Address(Text):
    def to_internal_value(self, data: object) -> str:
        email = super().to_internal_value(data)
        try:
            email_change.ensure_deliverable(email)
        except InvalidIdentifier as error:
            raise serializers.ValidationError(str(error)) from None
        return email


@extend_schema_serializer(examples=[OpenApiExample("An address", {"email": "alice@example.com"})])
class ResetRequest(Body):
    email = Address(max_length=254, help_text="The e-mail address of the account.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("A code", {"token": "7QkqV0m9c1xL2nYt8ZrWbA5dEfGhJuKpXsCvBnM3oIe", "new_password": "correct horse battery staple"})
    ]
)
class ResetConfirmation(Body):
    token = Secret(help_text="The code from the mail.")
    new_password = Secret(help_text="8 to 128 characters, not a common one, and not like the user's names.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An account", {"username": "alice", "email": "alice@example.com", "password": "correct horse battery staple", "name": "Alice"}
        )
    ]
)
class Registration(Body):
    username = Text(max_length=254, help_text="Without @ and spaces; case does not matter.")
    email = Address(max_length=254, help_text="A code is sent there.")
    password = Secret(help_text="8 to 128 characters, not a common one, and not like the user's names.")
    name = Name(max_length=200, required=False, allow_blank=True, default="", help_text="How the user is called.")


class OpenToAll(generics.GenericAPIView[User]):
    """Without a token, within a ceiling for each address, and only where this server sends mails."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        if not self.is_offered():
            raise exceptions.NotFound

    def take(self, request: Request) -> None:
        """One of the address's. Only of a body that is well formed: a look or a slip uses nothing up."""
        throttling.take(throttling.MAILS, address=actor(request)["address"])

    def is_offered(self) -> bool:
        return outbox.is_set_up()


class RequestReset(OpenToAll):
    """POST /api/v1/password-reset/request: have a code sent."""

    serializer_class = ResetRequest

    @extend_schema(operation_id="request_password_reset", summary="Have a code sent to who forgot the password", responses={202: _ACCEPTED})
    def post(self, request: Request) -> Response:
        members = ResetRequest.read(request)
        self.take(request)
        password_reset.request(members["email"], language=language_of(plain(request)), actor=actor(request))
        return Response({"status": "mail_sent_if_possible"}, status=status.HTTP_202_ACCEPTED)


class ConfirmReset(OpenToAll):
    """POST /api/v1/password-reset/confirm: another password, for the code from the mail."""

    serializer_class = ResetConfirmation

    @extend_schema(
        operation_id="confirm_password_reset",
        summary="Set another password with the code from the mail",
        description="Ends every session of the user and lifts a lock. A second factor stays.",
        responses={204: OpenApiResponse(description="The new password is valid.")},
    )
    def post(self, request: Request) -> Response:
        members = ResetConfirmation.read(request)
        self.take(request)
        language = language_of(plain(request))
        password_reset.confirm(members["token"], password=members["new_password"], language=language, actor=actor(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Register(OpenToAll):
    """POST /api/v1/register: an account of one's own, where the server allows it."""

    serializer_class = Registration

    @extend_schema(
        operation_id="register",
        summary="Make an account",
        description="The user can sign in once the code from the mail was confirmed. Off unless AUTH_SERVICE__REGISTRATION is open.",
        responses={202: _ACCEPTED},
    )
    def post(self, request: Request) -> Response:
        members = Registration.read(request)
        self.take(request)
        try:
            registration.register(**members, language=language_of(plain(request)), actor=actor(request))
        except registration.NameTaken:
            raise exceptions.ValidationError({"username": ["Another user has this name, perhaps in other letters."]}) from None
        except ValidationError as error:
            raise exceptions.ValidationError(error.message_dict) from None
        return Response({"status": "mail_sent_if_possible"}, status=status.HTTP_202_ACCEPTED)

    def is_offered(self) -> bool:
        return registration.is_open()
