"""Access tokens at the endpoints of FastAPI: dependencies that ask for them, and the refusals of RFC 6750."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

import anyio.to_thread
from authserver_verifier import AccessToken, InvalidToken, KeyNotAtHand, Verifier, VerifierUnavailable, bearer_token, challenge
from fastapi import Depends, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

# It puts the button "Authorize" into /docs; the header itself is read by `find_token`, for WebSockets too.
documented = HTTPBearer(scheme_name="access_token", bearerFormat="JWT", auto_error=False, description="An access token of authserver.")


class Refusal(Exception):
    """The answer to who may not in: JSON in the shape of authserver's own refusals."""

    def __init__(self, status: int, error: str, description: str, **headers: str) -> None:
        super().__init__(error)
        self.status, self.error, self.description = status, error, description
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> JSONResponse:
        body = {"error": self.error, "error_description": self.description}
        return JSONResponse(body, self.status, headers={"Cache-Control": "no-store"} | self.headers)


def unauthenticated() -> Refusal:
    return Refusal(401, "invalid_token", "Send an access token: Authorization: Bearer …", WWW_Authenticate=challenge())


def invalid_token() -> Refusal:
    # Why exactly is in the log: it helps nobody else but who tries what gets through.
    description = "The access token is not valid, or not any more. Get a new one."
    return Refusal(401, "invalid_token", description, WWW_Authenticate=challenge("invalid_token"))


def insufficient_scope(scope: str) -> Refusal:
    description = f"This takes a token with the scope {scope}."
    return Refusal(403, "insufficient_scope", description, WWW_Authenticate=challenge("insufficient_scope", scope=scope))


def unavailable(error: VerifierUnavailable) -> Refusal:
    return Refusal(503, "temporarily_unavailable", "Tokens cannot be checked right now.", Retry_After=str(error.retry_after))


class TokenGate:
    """Lets in who has a good token."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier
        # SECURITY: waiting for keys has threads of its own; tokens with made-up kids fill these, and hold up nobody whose key is known.
        self._waiting = anyio.CapacityLimiter(4)

    async def verify(self, value: str) -> AccessToken:
        """Raises InvalidToken, VerifierUnavailable."""
        try:
            return self.verifier.verify(value, wait=False)  # some 50 µs of arithmetic, less than the way to a thread
        except KeyNotAtHand:
            return await anyio.to_thread.run_sync(self.verifier.verify, value, limiter=self._waiting)

    async def admit(self, connection: HTTPConnection, *scopes: str) -> AccessToken:
        """The token of a request that may do all of `scopes`. Raises Refusal."""
        value = bearer_token(connection.headers.getlist("Authorization"))
        if value is None:
            raise unauthenticated()
        try:
            token = await self.verify(value)
        except InvalidToken as error:
            raise invalid_token() from error
        except VerifierUnavailable as error:
            raise unavailable(error) from error
        if missing := [scope for scope in scopes if scope not in token.scopes]:
            raise insufficient_scope(missing[0])
        return token


def gate_of(connection: HTTPConnection) -> TokenGate:
    return cast(TokenGate, connection.app.state.gate)


def requires(*scopes: str) -> Callable[..., Coroutine[Any, Any, AccessToken]]:
    """A dependency: the token, which has all of `scopes`. `Depends(requires())` takes any good token."""

    async def admitted(request: Request, _: Annotated[Any, Depends(documented)]) -> AccessToken:
        return await gate_of(request).admit(request, *scopes)

    return admitted
