"""Why somebody is not let in (RFC 6750)."""

from rest_framework.exceptions import APIException, AuthenticationFailed


class InvalidAccessToken(AuthenticationFailed):
    # Why exactly is in the log: it helps nobody else but who tries what gets through.
    default_code = "invalid_token"
    default_detail = "The access token is not valid, or not any more. Get a new one."


class InsufficientScope(APIException):
    status_code = 403
    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This takes a token with the scope {scope}.")
        self.scope = scope


class TemporarilyUnavailable(APIException):
    status_code = 503
    default_code = "temporarily_unavailable"
    default_detail = "Tokens cannot be checked right now."

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.wait = retry_after  # REST framework makes Retry-After of it
