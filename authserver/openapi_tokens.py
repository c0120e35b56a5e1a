"""Revocation, introspection and the check of a proxy, described for OpenAPI (RFC 7009, RFC 7662)."""

from authserver.openapi_grants import ACCESS_TOKEN_VALUE, REFRESH_TOKEN_VALUE, TOKENS, client_refusals, in_form
from authserver.openapi_parts import UNAVAILABLE, Part, answer, body, number, record, ref, refusals, text
from authserver.openapi_security import ACCESS_TOKEN, ANY_CLIENT
from oauth.errors import InvalidRequest, InvalidToken, NoAccessToken, UnauthorizedClient
from oauth.http import FORM_TYPE

_ROBOT = {"client_id": "codelab-internal", "client_secret": "the secret of codelab-internal"}
_ACTIVE = {
    "active": True,
    "iss": "https://auth.example.com",
    "sub": "fc949d11-7bab-45c6-b5c3-69c3a4146111",
    "client_id": "codelab-flutter-app",
    "username": "user",
    "scope": "api:read api:write",
    "aud": "codelab-api",
    "exp": 1769861700,
    "iat": 1769860800,
    "nbf": 1769860770,
    "jti": "pZ0yWk9sQ2uTqY1fVb3xGA",
    "sid": "8ad819d7-7095-82c4-a6f1-4e89175048ce",
    "token_type": "Bearer",
}


def paths() -> dict[str, Part]:
    return {
        "/oauth/revoke": {"post": _revoke()},
        "/oauth/introspect": {"post": _introspect()},
        "/oauth/verify": {"get": _verify()},
    }


def schemas() -> dict[str, Part]:
    hint = text("Not needed: the kind of a token shows in its form.", examples=["refresh_token"])
    members = {"token": text("An access token or a refresh token.", format="password"), "token_type_hint": hint}
    return {
        "RevocationRequest": in_form("RFC 7009 §2.1.", members, optional=("token_type_hint",)),
        "IntrospectionRequest": in_form("RFC 7662 §2.1.", members, optional=("token_type_hint",)),
        "Introspection": _introspection(),
    }


def _revoke() -> Part:
    example = {"token": REFRESH_TOKEN_VALUE, "client_id": "codelab-flutter-app"}
    return {
        "operationId": "revoke_token",
        "summary": "End the session of a token",
        "description": "For the client that the token was issued to. A refresh token of any age ends its session; an access token does so "
        "for a confidential client alone. Whatever else the token may be, the answer is the same, and nothing happens.",
        "tags": [TOKENS],
        "security": ANY_CLIENT,
        "requestBody": {"required": True, "content": body(ref("RevocationRequest"), {"sign_out": example}, media_type=FORM_TYPE)},
        "responses": {
            "200": answer("The session has ended, if there was one.", {"type": "object", "maxProperties": 0}, done={}),
            **client_refusals(),
        },
    }


def _introspect() -> Part:
    example = {"token": ACCESS_TOKEN_VALUE, **_ROBOT}
    return {
        "operationId": "introspect_token",
        "summary": "Is this token active?",
        "description": "For confidential clients that may introspect. They learn of access tokens for an audience that they serve, and of "
        "their own tokens. Of a token that is not active, for whatever reason, they learn that alone.",
        "tags": [TOKENS],
        "security": ANY_CLIENT,
        "requestBody": {"required": True, "content": body(ref("IntrospectionRequest"), {"access_token": example}, media_type=FORM_TYPE)},
        "responses": {
            "200": answer("What the client may know.", ref("Introspection"), active=_ACTIVE, not_active={"active": False}),
            **client_refusals(UnauthorizedClient()),
        },
    }


def _verify() -> Part:
    return {
        "operationId": "verify_token",
        "summary": "May this request pass?",
        "description": "For a proxy that asks before it lets a request through, such as nginx with `auth_request`.",
        "tags": [TOKENS],
        "security": [{ACCESS_TOKEN: []}],
        "responses": {
            "204": {
                "description": "The access token is good, and what stands behind it is alive.",
                "headers": {
                    "X-Auth-Subject": _header("The claim `sub`.", _ACTIVE["sub"]),
                    "X-Auth-Scope": _header("The claim `scope`.", _ACTIVE["scope"]),
                    "X-Auth-Client": _header("The claim `client_id`.", _ACTIVE["client_id"]),
                },
            },
            **refusals(
                InvalidRequest("Send the access token in the Authorization header; the query string is written to logs."),
                InvalidToken(""),
                NoAccessToken(""),
                UNAVAILABLE,
            ),
        },
    }


def _header(description: str, example: object) -> Part:
    return {"description": description, "required": True, "schema": {"type": "string"}, "example": example}


def _introspection() -> Part:
    members = {
        "active": {"type": "boolean", "description": "False: nothing else is told."},
        "iss": text("The issuer.", format="uri"),
        "sub": text("The user's UUID; in a client's own token its `client_id`."),
        "client_id": text("The client it was issued to."),
        "username": text("The user's name now; missing in a client's own token."),
        "scope": text("What the token is good for."),
        "aud": text("Whom an access token is for."),
        "exp": number("When it ends, in seconds since 1970."),
        "iat": number("When it was made."),
        "nbf": number("From when an access token is good."),
        "jti": text("The id of an access token."),
        "sid": text("The session.", format="uuid"),
        "token_type": {"const": "Bearer", "description": "With an access token alone."},
    }
    return record("RFC 7662 §2.2.", members, optional=tuple(name for name in members if name != "active"))
