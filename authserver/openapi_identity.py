"""OpenID Connect's endpoints for programs, described for OpenAPI: userinfo."""

from authserver.openapi_grants import ACCESS_TOKEN_VALUE, TOKENS
from authserver.openapi_parts import UNAVAILABLE, Part, answer, body, record, ref, refusals, text
from authserver.openapi_security import ACCESS_TOKEN, NOBODY_IN_PARTICULAR
from oauth.errors import InsufficientScope, InvalidRequest, InvalidToken, NoAccessToken
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
            "post": _userinfo("post_userinfo", [{ACCESS_TOKEN: []}, *NOBODY_IN_PARTICULAR, {}]) | {"requestBody": request},
        }
    }


def schemas() -> dict[str, Part]:
    members = {
        "sub": text("The user's UUID, as in every token.", format="uuid"),
        "name": text("With the scope `profile`: the name, or else the user name."),
        "preferred_username": text("With the scope `profile`."),
        "email": text("With the scope `email`, when there is one."),
        "roles": {"type": "array", "items": {"type": "string"}, "description": "With the scope `roles`."},
    }
    return {"Userinfo": record("OpenID Connect Core 1.0 §5.3.2.", members, optional=tuple(name for name in members if name != "sub"))}


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
