"""What can be refused, one class for each thing that a program does about it."""

from datetime import datetime
from typing import Any

import httpx


class AuthError(Exception):
    """A refusal in the server's words. Staff find its true reason by `error_id`, which is empty when the server never answered."""

    error: str = "invalid_answer"

    def __init__(self, error_description: str, *, error: str = "", error_id: str = "", retry_after: int | None = None) -> None:
        super().__init__(error_description)
        self.error = error or type(self).error
        self.error_description = error_description
        self.error_id = error_id
        self.retry_after = retry_after  # seconds

    def __str__(self) -> str:
        return f"{self.error}: {self.error_description}" + (f" (error_id {self.error_id})" if self.error_id else "")


class InvalidGrant(AuthError):
    """The password is wrong, or nobody is signed in any more: ask the user to sign in."""

    error = "invalid_grant"


class InvalidClient(AuthError):
    """The server does not know this client_id, or its secret is wrong: mend the configuration."""

    error = "invalid_client"


class MfaRequired(AuthError):
    """A password alone does not sign this user in: send them through the browser (authorization code, or a device code)."""

    error = "mfa_required"


class AccountLocked(AuthError):
    """Too many wrong passwords. The account opens at `locked_until` (UTC), in `retry_after` seconds; whoever is signed in stays so."""

    error = "account_locked"
    locked_until: datetime | None = None


class TryLater(AuthError):
    """Nothing is wrong and no token is lost: try again, after `retry_after` seconds if the server named them."""


class RateLimited(TryLater):
    error = "rate_limit_exceeded"


class TemporarilyUnavailable(TryLater):
    """The server is overloaded, or was not reached at all."""

    error = "temporarily_unavailable"


_BY_ERROR: dict[str, type[AuthError]] = {
    kind.error: kind for kind in (InvalidGrant, InvalidClient, MfaRequired, AccountLocked, RateLimited, TemporarilyUnavailable)
}
# A gateway in front answers these by itself, without the JSON.
_BY_STATUS: dict[int, type[AuthError]] = {
    429: RateLimited,
    502: TemporarilyUnavailable,
    503: TemporarilyUnavailable,
    504: TemporarilyUnavailable,
}


def refusal(response: httpx.Response) -> AuthError:
    """The error that an answer other than a success tells of."""
    body = members(response)
    error = str(body.get("error", ""))
    kind = _BY_ERROR.get(error) or _BY_STATUS.get(response.status_code, AuthError)
    description = str(body.get("error_description") or f"{response.url.path} was answered {response.status_code}, not as authserver does.")
    retry_after = response.headers.get("Retry-After", "")
    refused = kind(
        description,
        error=error,
        error_id=str(body.get("error_id", "")),
        retry_after=int(retry_after) if retry_after.isdecimal() else None,
    )
    if isinstance(refused, AccountLocked) and "locked_until" in body:
        refused.locked_until = datetime.fromisoformat(body["locked_until"])
    return refused


def members(response: httpx.Response) -> dict[str, Any]:
    """Those of the JSON object in an answer; none when it holds anything else."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
