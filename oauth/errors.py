"""Refusals in two voices: `error`, `description` and `status` go to the client, `reason` to the log (RFC 6749 §5.2)."""

import random
import secrets
from typing import Any, ClassVar
from uuid import UUID

BEARER = 'Bearer realm="authserver"'


class OAuthError(Exception):
    """A refusal. Subclasses are the answers of the wire contract; `reason` says what was really wrong.

    `error_id` is the name under which answer, log line, stored refusal and audit event find each other.
    """

    error: ClassVar[str]
    description: str
    status: int = 400
    is_stored: ClassVar[bool] = True  # for staff to look up; what is no failure of anybody's is not

    def __init__(
        self, reason: str = "", *, headers: dict[str, str] | None = None, client_id: str = "", user_id: UUID | None = None, **fields: Any
    ) -> None:
        """`client_id` (of a registered client) and `user_id` say whom it is about, to staff alone; `fields` go to the client."""
        super().__init__(reason)
        self.error_id = secrets.token_hex(8)
        self.reason = reason or self.description
        self.headers = headers or {}
        self.client_id = client_id
        self.user_id = user_id
        self.fields = fields


class InvalidRequest(OAuthError):
    """The request itself is malformed. Its description tells the developer what to mend, so it never quotes a value."""

    error = "invalid_request"
    description = "The request is malformed."

    def __init__(self, description: str, **kwargs: Any) -> None:
        self.description = description
        super().__init__(description, **kwargs)


class BodyTooLarge(InvalidRequest):
    status = 413


class MethodNotAllowed(InvalidRequest):
    status = 405


class NotFound(InvalidRequest):
    error = "not_found"
    status = 404


class Conflict(InvalidRequest):
    """What was asked for does not fit how things stand now."""

    error = "conflict"
    status = 409


class InvalidClient(OAuthError):
    error = "invalid_client"
    description = "Client authentication failed."
    status = 401


class InvalidGrant(OAuthError):
    """One answer for a wrong password and for a refresh token unknown, expired, revoked, reused or foreign. Its status is a setting."""

    error = "invalid_grant"
    description = "The user name or password is wrong, or the grant is invalid, expired, revoked or was issued to another client."


class UnauthorizedClient(OAuthError):
    error = "unauthorized_client"
    description = "This client may not use this grant type or endpoint."


class UnsupportedGrantType(OAuthError):
    error = "unsupported_grant_type"
    description = "This server does not offer this grant type."


class InvalidScope(OAuthError):
    error = "invalid_scope"
    description = "The scope is malformed, or more than this client may have."


class InvalidTarget(OAuthError):
    """RFC 8707 §2."""

    error = "invalid_target"
    description = "The resource is malformed, not one that this client may have, or not the one that was signed in for."


class AuthorizationError(OAuthError):
    """What only an authorization request can be answered: never as JSON, but at the redirect URI."""

    error = "invalid_request"


class InvalidRedirectUri(OAuthError):
    """RFC 7591 §3.2.2."""

    error = "invalid_redirect_uri"
    description = "A redirect URI is missing, or is none that a client may register: https, a loopback address, or a scheme of its own."


class InvalidClientMetadata(OAuthError):
    """RFC 7591 §3.2.2. Its description tells the developer which member to mend."""

    error = "invalid_client_metadata"

    def __init__(self, member: str, rule: str) -> None:
        self.description = f"{member} {rule}"
        super().__init__(f"metadata: {member}")


class UnsupportedResponseType(AuthorizationError):
    """RFC 6749 §4.1.2.1."""

    error = "unsupported_response_type"
    description = "This server sends codes alone: response_type must be code, and response_mode query."


class AccessDenied(OAuthError):
    """RFC 6749 §4.1.2.1, RFC 8628 §3.5."""

    error = "access_denied"
    description = "The user did not allow it."


class LoginRequired(AuthorizationError):
    """OpenID Connect Core 1.0 §3.1.2.6."""

    error = "login_required"
    description = "The user has to sign in, and prompt=none forbids to ask."


class ConsentRequired(AuthorizationError):
    """OpenID Connect Core 1.0 §3.1.2.6."""

    error = "consent_required"
    description = "The user has to allow it, and prompt=none forbids to ask."


class InteractionRequired(AuthorizationError):
    """OpenID Connect Core 1.0 §3.1.2.6."""

    error = "interaction_required"
    description = "The user has to do something first, and prompt=none forbids to ask."


class RequestNotSupported(AuthorizationError):
    """OpenID Connect Core 1.0 §6.1."""

    error = "request_not_supported"
    description = "Send the parameters themselves: request objects are not supported."


class RequestUriNotSupported(AuthorizationError):
    """OpenID Connect Core 1.0 §6.2."""

    error = "request_uri_not_supported"
    description = "Send the parameters themselves: request_uri is not supported."


class RegistrationNotSupported(AuthorizationError):
    """OpenID Connect Core 1.0 §7.2.1."""

    error = "registration_not_supported"
    description = "Clients do not register by the parameter registration."


class MfaRequired(OAuthError):
    error = "mfa_required"
    description = "This account cannot sign in with a password alone; sign in through the browser."


class AuthorizationPending(OAuthError):
    """RFC 8628 §3.5: nobody has decided yet. A device asks every few seconds, so it is no refusal to keep."""

    error = "authorization_pending"
    description = "Nobody has approved or denied the device yet. Ask again after the interval."
    is_stored = False


class SlowDown(OAuthError):
    """RFC 8628 §3.5."""

    error = "slow_down"
    description = "Asked too early. From now on leave five seconds more between two requests."
    is_stored = False


class ExpiredToken(OAuthError):
    """RFC 8628 §3.5."""

    error = "expired_token"
    description = "The device code has expired. Ask for new codes."


class AccountLocked(OAuthError):
    """Too many failed attempts on this name; `retry_after` in seconds and `locked_until` are told to the client."""

    error = "account_locked"
    description = "Too many failed attempts. Try again later."
    status = 403

    def __init__(self, *, retry_after: int, locked_until: str) -> None:
        super().__init__("locked", headers={"Retry-After": str(retry_after)}, retry_after=retry_after, locked_until=locked_until)


class RateLimitExceeded(OAuthError):
    """More came from one address than its ceiling allows; `retry_after` in seconds is told to the client."""

    error = "rate_limit_exceeded"
    description = "Too many requests or failed attempts from this address. Try again later."
    status = 429

    def __init__(self, reason: str = "", *, retry_after: int, client_id: str = "") -> None:
        super().__init__(reason, headers={"Retry-After": str(retry_after)}, client_id=client_id, retry_after=retry_after)


class InvalidPassword(OAuthError):
    """Of somebody who is signed in already and was asked for it again."""

    error = "invalid_password"
    description = "The current password is wrong."


class PasswordPolicy(OAuthError):
    """`reasons` tell the person who chose the password what to do better."""

    error = "password_policy"
    description = "The new password does not satisfy the policy."

    def __init__(self, *, reasons: list[str]) -> None:
        super().__init__("new password refused", reasons=reasons)


class InvalidCode(OAuthError):
    """One answer for a code that is unknown, used, expired or for something else."""

    error = "invalid_code"
    description = "The code is wrong, used or expired."


class TemporarilyUnavailable(OAuthError):
    """Retry later; `retry_after` in seconds goes into the header. Without one it is soon, and not at the same time for all."""

    error = "temporarily_unavailable"
    description = "The server cannot answer right now. Try again shortly."
    status = 503
    is_stored = False  # the store may be what failed

    def __init__(self, reason: str, *, retry_after: int | None = None) -> None:
        seconds = random.randint(1, 3) if retry_after is None else retry_after  # noqa: S311 - no secret
        super().__init__(reason, headers={"Retry-After": str(seconds)})


class InvalidToken(OAuthError):
    """RFC 6750 §3.1."""

    error = "invalid_token"
    description = "The access token is malformed, expired, revoked or not for this server."
    status = 401
    challenge = f'{BEARER}, error="invalid_token"'

    def __init__(self, reason: str, **kwargs: Any) -> None:
        super().__init__(reason, headers={"WWW-Authenticate": self.challenge}, **kwargs)


class NoAccessToken(InvalidToken):
    """RFC 6750 §3.1: who sent no token is told how, and given no error code in the header."""

    challenge = BEARER


class InsufficientScope(OAuthError):
    """RFC 6750 §3.1."""

    error = "insufficient_scope"
    description = "The access token does not have the scope that this needs."
    status = 403


class NotPermitted(OAuthError):
    """The token is good, and its user may not do this."""

    error = "permission_denied"
    description = "The token's user may not do this, or not to this user."
    status = 403


class InsufficientUserAuthentication(OAuthError):
    """RFC 9470 §3: the user has to sign in again, with more or just now; `challenge` tells the client what to ask for."""

    error = "insufficient_user_authentication"
    status = 401
    challenge: str

    def __init__(self, reason: str) -> None:
        super().__init__(reason, headers={"WWW-Authenticate": f'{BEARER}, error="{self.error}", {self.challenge}'})


class SecondFactorMissing(InsufficientUserAuthentication):
    description = "This needs a sign-in with a second factor."
    challenge = 'acr_values="2"'


class SignInTooOld(InsufficientUserAuthentication):
    description = "This needs a sign-in within the last 15 minutes."
    challenge = "max_age=900"
