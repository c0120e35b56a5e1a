"""How drf-spectacular reads the views of the JSON API, and what it cannot read from them: which requests they refuse."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from authserver import openapi_security
from authserver.openapi_parts import LOCKED, THROTTLED, UNAVAILABLE, Part, refusals
from oauth.errors import (
    BEARER,
    BodyTooLarge,
    Conflict,
    InsufficientScope,
    InvalidCode,
    InvalidPassword,
    InvalidRequest,
    InvalidToken,
    NoAccessToken,
    NotFound,
    NotPermitted,
    OAuthError,
    PasswordPolicy,
    SecondFactorMissing,
    SignInTooOld,
)

ACCOUNT, ADMINISTRATION = "Account", "Administration"
ADMIN_PATHS = "/api/v1/admin/"

_NOTHING_HERE = NotFound("There is nothing here.")
_WEAK = PasswordPolicy(reasons=["This password is too common."])
# By operationId, what an operation refuses beside what all of its kind do.
_REFUSALS: dict[str, tuple[OAuthError, ...]] = {
    "list_sessions": (_NOTHING_HERE,),
    "end_session": (_NOTHING_HERE,),
    "change_password": (InvalidPassword(), _WEAK, LOCKED, THROTTLED),
    "change_email": (InvalidPassword(), NotFound("E-mail is not set up on this server."), LOCKED, THROTTLED),
    "confirm_email": (InvalidCode(),),
    "request_password_reset": (_NOTHING_HERE, THROTTLED),
    "confirm_password_reset": (InvalidCode(), _WEAK, _NOTHING_HERE, THROTTLED),
    "register": (_WEAK, _NOTHING_HERE, THROTTLED),
    "lock_user": (Conflict("This is the last active superuser. Make another one first."),),
    "send_password_reset": (Conflict("The user is disabled or has no e-mail address, or e-mail is not set up on this server."),),
    "rotate_client_secret": (Conflict("A public client has no secret."),),
    "rotate_signing_key": (Conflict("There is no standby yet; a server that runs makes it within a second. Try again then."),),
    "revoke_signing_key": (Conflict("The key is revoked already: nothing signs with it, and nobody takes its tokens."),),
}


def _of_administrators(operation: Part, *, path: str, method: str) -> list[OAuthError]:
    """Lists refuse a cursor that is none, and what names something refuses what is not there."""
    errors: list[OAuthError] = [NotPermitted(""), SecondFactorMissing("")]
    if method != "get":
        errors.append(SignInTooOld(""))
    if ("{" in path and operation["operationId"] != "delete_role") or any(
        each["name"] == "cursor" for each in operation.get("parameters", ())
    ):
        errors.append(_NOTHING_HERE)
    return errors


class Schema(AutoSchema):
    """Says nothing by itself: docstrings are for who reads the code. What a view does not say with `extend_schema` is missing."""

    def get_description(self) -> str:  # type: ignore[override] # as drf-spectacular has it
        return ""

    def get_tags(self) -> list[str]:
        return [ADMINISTRATION if self.path.startswith(ADMIN_PATHS) else ACCOUNT]


class BearerScheme(OpenApiAuthenticationExtension):
    """The scope that a view requires of an access token."""

    target_class = "oauth.bearer.BearerAuthentication"
    name = openapi_security.ACCESS_TOKEN

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return openapi_security.schemes()[self.name]

    def get_security_requirement(self, auto_schema: AutoSchema) -> openapi_security.Requirement:
        view: Any = auto_schema.view
        by_method = getattr(view, "required_scopes", {})
        return openapi_security.token_with(by_method.get(auto_schema.method) or view.required_scope)


def complete(operation: Part, *, path: str, method: str) -> Part:
    """The operation with its refusals; one for everybody says so."""
    required = operation.get("security", [])
    scopes = [scope for requirement in required for scopes in requirement.values() for scope in scopes]
    errors: list[OAuthError] = [InvalidRequest("The request is malformed."), UNAVAILABLE]
    if "requestBody" in operation:
        errors.append(BodyTooLarge("The body has more than 65536 bytes."))
    if scopes:
        challenge = f'{BEARER}, error="insufficient_scope", scope="{scopes[0]}"'
        errors += [InvalidToken(""), NoAccessToken(""), InsufficientScope("", headers={"WWW-Authenticate": challenge})]
    if path.startswith(ADMIN_PATHS):
        errors += _of_administrators(operation, path=path, method=method)
    described = refusals(*errors, *_REFUSALS.get(operation["operationId"], ()))
    scope = f"Scope: `{scopes[0]}`." if scopes else ""
    return operation | {
        "description": "\n\n".join(filter(None, (operation.get("description"), scope))),
        "security": required,
        "responses": operation["responses"] | described,
    }
