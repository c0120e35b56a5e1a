"""The token endpoint, described for OpenAPI: a request for each grant (RFC 6749)."""

from typing import Any

from authserver.openapi_parts import LOCKED, THROTTLED, UNAVAILABLE, Part, answer, body, number, record, ref, refusals, text
from authserver.openapi_security import ANY_CLIENT
from oauth.errors import (
    AccessDenied,
    AuthorizationPending,
    BodyTooLarge,
    ExpiredToken,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    MfaRequired,
    OAuthError,
    SlowDown,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from oauth.grant_types import offered
from oauth.http import FORM_TYPE
from oauth.models import AUTHORIZATION_CODE, CLIENT_CREDENTIALS, DEVICE_CODE, PASSWORD, REFRESH_TOKEN

TOKENS = "Tokens"
ACCESS_TOKEN_VALUE = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjEifQ.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"  # noqa: S105 - of the examples
REFRESH_TOKEN_VALUE = "AXKnwmRDLr0ZKQm8yfVxSg3sAAAAAaV7nX2cTq9GdP1uYbWk4hJe"  # noqa: S105 - of the examples
DEVICE_CODE_VALUE = "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS8k"

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "For the refresh grant, drawn anew for each refresh. A refresh that is repeated with its key within 60 seconds gets the "
    "same refresh token again. The other grants do nothing with it.",
    "schema": {"type": "string", "pattern": "^[!-~]{16,255}$"},
    "example": "5f0c9d0e-7a51-4f6e-9c1f-0d3b8a6e2f47",
}


def paths() -> dict[str, Part]:
    return {"/oauth/token": {"post": _token()}}


def schemas() -> dict[str, Part]:
    """Each grant on offer has a request of its own."""
    requests = {name: schema for name, (schema, _) in _requests().items()}
    return {**requests, "TokenResponse": _token_response()}


def in_form(description: str, members: Part, *, optional: tuple[str, ...] = ()) -> Part:
    """A form of these parameters, and those by which a client names itself."""
    named = {
        "client_id": text("Of the client, unless it is in the `Authorization` header.", examples=["codelab-flutter-app"]),
        "client_secret": text("Of a confidential client, unless it is in the `Authorization` header.", format="password", examples=[""]),
    }
    return record(description, members | named, optional=(*optional, *named))


def client_refusals(*errors: OAuthError) -> dict[str, Part]:
    """What every endpoint that asks a client to authenticate may answer, beside its own."""
    return refusals(
        InvalidRequest("The parameter client_id is repeated."),
        InvalidClient(headers={"WWW-Authenticate": 'Basic realm="authserver", charset="UTF-8"'}),
        BodyTooLarge("The body has more than 65536 bytes."),
        THROTTLED,
        UNAVAILABLE,
        *errors,
    )


def _token() -> Part:
    requests = _requests()
    by_grant_type = {example["grant_type"]: name for name, (_, example) in requests.items()}
    schema = {
        "oneOf": [ref(name) for name in requests],
        "discriminator": {
            "propertyName": "grant_type",
            "mapping": {grant_type: ref(name)["$ref"] for grant_type, name in by_grant_type.items()},
        },
    }
    examples = {example["grant_type"]: example for _, example in requests.values()}
    return {
        "operationId": "issue_token",
        "summary": "Get tokens",
        "description": "Parameters are sent in the body, each at most once; the query string stays empty. A confidential client sends its "
        "secret in the `Authorization` header or in the body, a public client its `client_id` alone.",
        "tags": [TOKENS],
        "security": ANY_CLIENT,
        "parameters": [_IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": body(schema, examples, media_type=FORM_TYPE)},
        "responses": {
            "200": answer("The tokens.", ref("TokenResponse"), **_answers()),
            **client_refusals(
                InvalidGrant(),
                InvalidScope(),
                InvalidTarget(),
                UnauthorizedClient(),
                UnsupportedGrantType(),
                MfaRequired(),
                LOCKED,
                AuthorizationPending(),
                SlowDown(),
                AccessDenied(),
                ExpiredToken(),
            ),
        },
    }


def _requests() -> dict[str, tuple[Part, dict[str, str]]]:
    """For each grant on offer the schema of its request and an example."""
    described: dict[str, tuple[str, Part, dict[str, str]]] = {
        PASSWORD: (
            "PasswordRequest",
            _grant(
                "Sign a user in (RFC 6749 §4.3).",
                PASSWORD,
                username=text("User name or e-mail address; case, Unicode form and surrounding space do not matter."),
                password=text("Exactly as it was set.", format="password"),
            ),
            {"username": "user@example.com", "password": "password123", "client_id": "codelab-flutter-app", "scope": "api:read api:write"},
        ),
        REFRESH_TOKEN: (
            "RefreshRequest",
            _grant(
                "Trade the newest refresh token of a session for a new pair (RFC 6749 §6).",
                REFRESH_TOKEN,
                refresh_token=text("The newest one of the session.", format="password"),
            ),
            {"refresh_token": REFRESH_TOKEN_VALUE, "client_id": "codelab-flutter-app"},
        ),
        AUTHORIZATION_CODE: (
            "AuthorizationCodeRequest",
            in_form(
                "Exchange a code that the user's browser brought (RFC 6749 §4.1.3). It works once, for 60 seconds.",
                {
                    "grant_type": {"const": AUTHORIZATION_CODE},
                    "code": text("What was sent to the redirect URI.", format="password"),
                    "redirect_uri": text("The same as in the request, when it was sent there."),
                    "code_verifier": text("What the code_challenge was made from (RFC 7636).", format="password"),
                    "resource": text("The one of the request (RFC 8707).", examples=[""]),
                },
                optional=("redirect_uri", "code_verifier", "resource"),
            ),
            {
                "code": "9Rk1bU3n0tQw8pVx2sLc7hYd5mJf4aGe6iZo1vXrTnE",
                "redirect_uri": "http://127.0.0.1:7000/callback",
                "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                "client_id": "codelab-flutter-app",
            },
        ),
        CLIENT_CREDENTIALS: (
            "ClientCredentialsRequest",
            _grant("A token of a confidential client's own (RFC 6749 §4.4).", CLIENT_CREDENTIALS),
            {"client_id": "codelab-internal", "client_secret": "the secret of codelab-internal"},
        ),
        DEVICE_CODE: (
            "DeviceCodeRequest",
            _grant(
                "Ask whether the device was let in (RFC 8628 §3.4).",
                DEVICE_CODE,
                scoped=False,
                device_code=text("Of the device authorization endpoint.", format="password"),
            ),
            {"device_code": DEVICE_CODE_VALUE, "client_id": "codelab-python-client"},
        ),
    }
    return {name: (schema, {"grant_type": grant, **example}) for grant, (name, schema, example) in described.items() if grant in offered()}


def _grant(description: str, grant_type: str, *, scoped: bool = True, **members: Any) -> Part:
    scope = text("Words parted by single spaces. None: the client's default; at refresh: what was granted.", examples=["api:read"])
    asked = {"scope": scope} if scoped else {}
    return in_form(description, {"grant_type": {"const": grant_type}, **members, **asked}, optional=(*asked,))


def _token_response() -> Part:
    members = {
        "access_token": text("A JWT after RFC 9068."),
        "token_type": {"const": "Bearer"},
        "expires_in": number("Seconds until the access token ends.", minimum=1),
        "refresh_token": text("Missing for `client_credentials`, and for clients that may not refresh.", pattern="^[A-Za-z0-9_-]{52}$"),
        "scope": text("The scopes of the access token, sorted, parted by spaces."),
        "id_token": text("With the scope `openid`: a JWT for the client itself (OpenID Connect Core 1.0 §2)."),
    }
    return record("RFC 6749 §5.1.", members, optional=("refresh_token", "id_token"))


def _answers() -> dict[str, Part]:
    own: Part = {"access_token": ACCESS_TOKEN_VALUE, "token_type": "Bearer", "expires_in": 900, "scope": "api:read"}
    pair = own | {"refresh_token": REFRESH_TOKEN_VALUE, "scope": "api:read api:write"}
    return {"of_a_user": pair, "of_a_client": own}
