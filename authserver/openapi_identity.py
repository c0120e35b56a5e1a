"""OpenID Connect's endpoints for programs, described for OpenAPI: userinfo, and the registration of clients."""

from authserver.openapi_grants import ACCESS_TOKEN_VALUE, TOKENS
from authserver.openapi_parts import UNAVAILABLE, Part, answer, body, number, record, ref, refusals, text
from authserver.openapi_security import ACCESS_TOKEN
from oauth import client_registration
from oauth.errors import (
    BodyTooLarge,
    InsufficientScope,
    InvalidClientMetadata,
    InvalidRedirectUri,
    InvalidRequest,
    InvalidToken,
    NoAccessToken,
    NotFound,
)
from oauth.http import FORM_TYPE

_ALL = {
    "sub": "fc949d11-7bab-45c6-b5c3-69c3a4146111",
    "name": "Alice A.",
    "preferred_username": "alice",
    "email": "alice@example.com",
    "roles": ["author", "reviewer"],
}


def paths() -> dict[str, Part]:
    posted = record("RFC 6750 §2.2.", {"access_token": text("The access token.", format="password")}, optional=("access_token",))
    request = {"required": False, "content": body(posted, {"in_the_body": {"access_token": ACCESS_TOKEN_VALUE}}, media_type=FORM_TYPE)}
    return {
        "/oauth/userinfo": {
            "get": _userinfo("read_userinfo", [{ACCESS_TOKEN: []}]),
            "post": _userinfo("post_userinfo", [{ACCESS_TOKEN: []}, {}]) | {"requestBody": request},
        },
        "/oauth/register": {"post": _register()},
    }


def schemas() -> dict[str, Part]:
    members = {
        "sub": text("The user's UUID, as in every token.", format="uuid"),
        "name": text("With the scope `profile`: the name, or else the user name."),
        "preferred_username": text("With the scope `profile`."),
        "email": text("With the scope `email`, when there is one."),
        "roles": {"type": "array", "items": {"type": "string"}, "description": "With the scope `roles`."},
    }
    metadata = _client_metadata()
    registered = {
        "client_id": text("Its name on the wire."),
        "client_secret": text("Of a confidential client, this once.", format="password"),
        "client_secret_expires_at": number("0: it does not expire.", minimum=0),
        "client_id_issued_at": number("When it was registered."),
    }
    return {
        "Userinfo": record("OpenID Connect Core 1.0 §5.3.2.", members, optional=tuple(name for name in members if name != "sub")),
        "ClientMetadata": record("RFC 7591 §2.", metadata, optional=tuple(metadata)),
        "DynamicClient": record("RFC 7591 §3.2.1.", registered | metadata, optional=("client_secret", "client_secret_expires_at")),
    }


def _client_metadata() -> Part:
    uris = {"type": "array", "items": {"type": "string", "format": "uri"}, "maxItems": 20}
    return {
        "client_name": text("For the page that asks people."),
        "redirect_uris": uris,
        "post_logout_redirect_uris": uris,
        "grant_types": {"type": "array", "items": {"enum": [*client_registration.GRANT_TYPES]}},
        "response_types": {"type": "array", "items": {"const": "code"}},
        "token_endpoint_auth_method": {"enum": [*client_registration.AUTH_METHODS]},
        "scope": text("Words parted by single spaces."),
    }


def _register() -> Part:
    asked = {"client_name": "Reading room", "redirect_uris": ["https://reading.example.com/callback"]}
    made = asked | {
        "client_id": "dyn-Zk3vQm8wTq2bXc5n",
        "client_secret": "shown once",
        "client_secret_expires_at": 0,
        "client_id_issued_at": 1769860800,
        "post_logout_redirect_uris": [],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": "openid profile",
    }
    return {
        "operationId": "register_client",
        "summary": "Register a client (RFC 7591)",
        "description": "For who has the initial access token; `not_found` where the server has none.",
        "tags": [TOKENS],
        "security": [{ACCESS_TOKEN: []}],
        "requestBody": {"required": True, "content": body(ref("ClientMetadata"), {"web_app": asked}, media_type="application/json")},
        "responses": {
            "201": answer("What was registered.", ref("DynamicClient"), confidential=made),
            **refusals(
                InvalidRequest("The body must be a JSON object."),
                BodyTooLarge("The body has more than 65536 bytes."),
                InvalidRedirectUri(),
                InvalidClientMetadata("scope", "may hold: openid."),
                InvalidToken(""),
                NoAccessToken(""),
                NotFound("There is nothing here."),
                UNAVAILABLE,
            ),
        },
    }


def _userinfo(operation_id: str, security: list[dict[str, list[str]]]) -> Part:
    return {
        "operationId": operation_id,
        "summary": "Who is the user? (OpenID Connect)",
        "description": "For an access token with the scope `openid`, whatever its audience. A POST may carry the token in its body.",
        "tags": [TOKENS],
        "security": security,
        "responses": {
            "200": answer("What the token's scopes allow.", ref("Userinfo"), all=_ALL, id_alone={"sub": _ALL["sub"]}),
            **refusals(
                InvalidRequest("Send the access token in the Authorization header; the query string is written to logs."),
                InvalidToken(""),
                NoAccessToken(""),
                InsufficientScope(""),
                UNAVAILABLE,
            ),
        },
    }
