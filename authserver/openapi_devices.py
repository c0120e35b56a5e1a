"""The endpoint at which a device asks to be let in, described for OpenAPI (RFC 8628)."""

from authserver.openapi_grants import DEVICE_CODE_VALUE, TOKENS, client_refusals, in_form
from authserver.openapi_parts import Part, answer, body, number, record, ref, text
from authserver.openapi_security import ANY_CLIENT
from oauth.errors import InvalidScope, UnauthorizedClient
from oauth.http import FORM_TYPE
from oauth.user_codes import ALPHABET

_CODES = {
    "device_code": DEVICE_CODE_VALUE,
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://auth.example.com/oauth/device",
    "verification_uri_complete": "https://auth.example.com/oauth/device?user_code=WDJB-MJHT",
    "expires_in": 600,
    "interval": 5,
}


def paths() -> dict[str, Part]:
    return {"/oauth/device_authorization": {"post": _device_authorization()}}


def schemas() -> dict[str, Part]:
    scope = text("Words parted by single spaces. None: the client's default.", examples=["api:read"])
    url = {"type": "string", "format": "uri"}
    members = {
        "device_code": text("For the device alone: it polls the token endpoint with it.", pattern="^[A-Za-z0-9_-]{43}$"),
        "user_code": text("For the person to type.", pattern=f"^[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}$"),
        "verification_uri": url | {"description": "Where they type it."},
        "verification_uri_complete": url | {"description": "The same with the code filled in, for a link or a QR code."},
        "expires_in": number("Seconds for which both codes are good.", minimum=1),
        "interval": number("Seconds to leave between two polls.", minimum=1),
    }
    return {
        "DeviceAuthorizationRequest": in_form("RFC 8628 §3.1.", {"scope": scope}, optional=("scope",)),
        "DeviceAuthorization": record("RFC 8628 §3.2.", members),
    }


def _device_authorization() -> Part:
    example = {"client_id": "codelab-python-client", "scope": "api:read"}
    return {
        "operationId": "authorize_device",
        "summary": "Ask to be let in by a code",
        "description": "For a device without a browser or a keyboard. It shows `verification_uri` and `user_code` to its user, and "
        "polls the token endpoint with `device_code` until somebody has decided.",
        "tags": [TOKENS],
        "security": ANY_CLIENT,
        "requestBody": {"required": True, "content": body(ref("DeviceAuthorizationRequest"), {"device": example}, media_type=FORM_TYPE)},
        "responses": {
            "200": answer("The codes.", ref("DeviceAuthorization"), codes=_CODES),
            **client_refusals(InvalidScope(), UnauthorizedClient()),
        },
    }
