"""Who calls, by the access token of the request (RFC 6750)."""

from dataclasses import dataclass
from typing import cast

from authserver_verifier import AccessToken, InvalidToken, VerifierUnavailable, bearer_token, challenge
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from drf_resource_server.refusals import InvalidAccessToken, TemporarilyUnavailable
from drf_resource_server.settings import ACCESS_TOKEN_VERIFIER


@dataclass(frozen=True)
class Caller:
    """`request.user`. `id` is that of the user at authserver, or the client_id of a client that acts for itself."""

    id: str
    is_authenticated: bool = True


class AccessTokenAuthentication(BaseAuthentication):
    """`request.user` is a Caller, `request.auth` the AccessToken."""

    def authenticate(self, request: Request) -> tuple[Caller, AccessToken] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        value = bearer_token([header]) if header is not None else None
        if value is None:
            return None
        try:
            token = ACCESS_TOKEN_VERIFIER.verify(value)
        except InvalidToken as error:
            raise InvalidAccessToken from error
        except VerifierUnavailable as error:
            raise TemporarilyUnavailable(error.retry_after) from error
        return Caller(token.subject), token

    def authenticate_header(self, request: Request) -> str:
        """For requests without a token: of them no error is said (RFC 6750 §3.1)."""
        return challenge()


def caller_of(request: Request) -> Caller:
    """Of a request that has passed the permissions."""
    return cast(Caller, request.user)


def token_of(request: Request) -> AccessToken:
    """Of a request that has passed the permissions."""
    return cast(AccessToken, request.auth)
