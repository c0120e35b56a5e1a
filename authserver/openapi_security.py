"""Who may ask, described for OpenAPI: the ways to show an access token, and to authenticate as a client."""

from django.conf import settings

from authserver.openapi_parts import Part
from oauth.grant_types import offered
from oauth.models import PASSWORD

Requirement = list[dict[str, list[str]]]

SIGN_IN, ACCESS_TOKEN, CLIENT = "sign_in", "access_token", "client"
# By name alone, or with the secret in the body, for which OpenAPI has no word.
ANY_CLIENT: Requirement = [{CLIENT: []}, {}]
NOBODY_IN_PARTICULAR: Requirement = []


def schemes() -> dict[str, Part]:
    """What can be shown. On the page for people the names are titles, and the last one is where the cursor stands."""
    described: dict[str, Part] = {
        CLIENT: {"type": "http", "scheme": "basic", "description": "A confidential client: its `client_id` and its secret."},
        ACCESS_TOKEN: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "One that you have already."},
    }
    if PASSWORD in offered():
        flow = {"tokenUrl": "/oauth/token", "refreshUrl": "/oauth/token", "scopes": settings.SCOPES}
        described[SIGN_IN] = {"type": "oauth2", "description": "Get an access token of a user.", "flows": {"password": flow}}
    return described


def token_with(scope: str) -> Requirement:
    """An access token with this scope, whichever way it is shown."""
    return [{name: [scope]} for name in schemes() if name != CLIENT]
