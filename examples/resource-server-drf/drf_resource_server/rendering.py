"""Refusals as answers: in the shape of authserver's own, with the challenges of RFC 6750."""

from typing import Any

from authserver_verifier import challenge
from rest_framework.exceptions import APIException, NotAuthenticated
from rest_framework.response import Response
from rest_framework.views import exception_handler

from drf_resource_server.refusals import InsufficientScope, InvalidAccessToken


def render(error: Exception, context: dict[str, Any]) -> Response | None:
    """None lets a bug through, to become a 500."""
    response = exception_handler(error, context)
    if response is None:
        return None
    response["Cache-Control"] = "no-store"
    match error:
        case NotAuthenticated():
            response.data = _body("invalid_token", "Send an access token: Authorization: Bearer …")
        case InvalidAccessToken():
            response["WWW-Authenticate"] = challenge("invalid_token")
            response.data = _body(error.default_code, str(error.detail))
        case InsufficientScope():
            response["WWW-Authenticate"] = challenge("insufficient_scope", scope=error.scope)
            response.data = _body(error.default_code, str(error.detail))
        case APIException():
            response.data = _body(error.default_code, str(error.detail))
    return response


def _body(error: str, description: str) -> dict[str, str]:
    return {"error": error, "error_description": description}
