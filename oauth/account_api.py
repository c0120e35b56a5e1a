"""The JSON API by which users change what guards their account. Each act asks for the password again."""

import uuid

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, authentication, email_change, lockout, outbox, passwords, throttling
from accounts.api import actor, client_id_of, plain, user_of
from accounts.authentication import AuthenticationFailed, Door
from accounts.bodies import Body, Secret, Text
from accounts.identifiers import InvalidIdentifier
from accounts.languages import language_of
from accounts.models import User
from oauth import own_sessions, scopes
from oauth.bearer import claims_of
from oauth.errors import InvalidPassword, NotFound
from oauth.sign_in import as_refusal, verify_password


@extend_schema_serializer(
    examples=[OpenApiExample("A change", {"current_password": "password123", "new_password": "correct horse battery staple"})]
)
class PasswordChange(Body):
    current_password = Secret(help_text="The password that is valid now.")
    new_password = Secret(help_text="8 to 128 characters, not a common one, and not like the user's names.")


@extend_schema_serializer(examples=[OpenApiExample("A change", {"current_password": "password123", "email": "alice@example.org"})])
class EmailChange(Body):
    current_password = Secret(help_text="The password that is valid now.")
    email = Text(max_length=254, help_text="The new address; a code is sent there.")

    def validate_email(self, email: str) -> str:
        try:
            email_change.ensure_deliverable(email)
        except InvalidIdentifier as error:
            raise serializers.ValidationError(str(error)) from None
        return email


class Password(generics.GenericAPIView[User]):
    """POST /api/v1/me/password: another password. It ends every other session of the user."""

    required_scopes = {"POST": scopes.ACCOUNT}
    serializer_class = PasswordChange

    @extend_schema(
        operation_id="change_password",
        summary="Change the password",
        description="Ends every session of the user but the one of the token.",
        responses={204: OpenApiResponse(description="The new password is valid.")},
    )
    def post(self, request: Request) -> Response:
        members = PasswordChange.read(request)
        passwords.ensure_allowed(members["new_password"], user=user_of(request))
        user = _prove_again(request, password=members["current_password"])
        encoded = passwords.encode(members["new_password"])
        with transaction.atomic():
            epoch = passwords.change(user, encoded=encoded, actor=actor(request), client_id=client_id_of(request))
            own_sessions.keep(uuid.UUID(claims_of(request)["sid"]), epoch=epoch)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Email(generics.GenericAPIView[User]):
    """POST /api/v1/me/email: ask for another e-mail address. It is the user's once the code from the mail comes back."""

    required_scopes = {"POST": scopes.ACCOUNT}
    serializer_class = EmailChange

    @extend_schema(
        operation_id="change_email",
        summary="Ask for another e-mail address",
        description="A code goes to the new address. The address is the user's once the code comes back.",
        responses={
            202: OpenApiResponse(
                {"type": "object", "required": ["status"], "properties": {"status": {"const": "confirmation_sent"}}},
                description="The mail is on its way.",
                examples=[OpenApiExample("Sent", {"status": "confirmation_sent"})],
            )
        },
    )
    def post(self, request: Request) -> Response:
        if not outbox.is_set_up():
            raise NotFound("E-mail is not set up on this server.")
        members, client_id = EmailChange.read(request), client_id_of(request)
        user = _prove_again(request, password=members["current_password"])
        throttling.take(throttling.MAILS, address=actor(request)["address"])
        language = language_of(plain(request))
        email_change.request(user, email=members["email"], language=language, actor=actor(request), client_id=client_id)
        return Response({"status": "confirmation_sent"}, status=status.HTTP_202_ACCEPTED)


def _prove_again(request: Request, *, password: str) -> User:
    """The token's user, as they are now, by their password. Raises InvalidPassword, AccountLocked, TemporarilyUnavailable."""
    user, who, client_id = user_of(request), actor(request), client_id_of(request)
    door = Door("api", address=who["address"], user_agent=who["user_agent"], client_id=client_id)
    try:
        authenticated = verify_password(user.username, password=password, door=door)
        with transaction.atomic():
            authentication.accept(authenticated)
    except AuthenticationFailed as failure:
        raise _refusal(failure, user=user, door=door) from failure
    except lockout.Locked as locked:  # while the password was being verified
        raise as_refusal(locked) from locked
    # SECURITY: the name may have gone to somebody else since the token was read.
    if authenticated.user.pk != user.pk:
        raise InvalidPassword("the name is another user's", user_id=user.pk)
    return authenticated.user


def _refusal(failure: AuthenticationFailed, *, user: User, door: Door) -> InvalidPassword:
    refusal = InvalidPassword(failure.reason, user_id=user.pk)
    if failure.to_record:
        detail = {"door": door.name} | failure.detail
        audit.record(
            "user:sign_in:failed",
            target=user.pk,
            client_id=door.client_id,
            address=door.address,
            user_agent=door.user_agent,
            error_id=refusal.error_id,
            detail=detail,
        )
    return refusal
