"""Who may ask, described for OpenAPI: the ways to show an access token, and to authenticate as a client."""

from django.conf import settings

from authserver.openapi_parts import Part
from oauth import scopes
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
        flow = {"tokenUrl": "/oauth/token", "refreshUrl": "/oauth/token", "scopes": by_password()}
        described[SIGN_IN] = {"type": "oauth2", "description": "Get an access token of a user.", "flows": {"password": flow}}
    return described


def token_with(scope: str) -> Requirement:
    """An access token with this scope, whichever way it is shown; a password does not lead to every one."""
    return [{name: [scope]} for name in schemes() if name == ACCESS_TOKEN or (name == SIGN_IN and scope in by_password())]


def by_password() -> dict[str, str]:
    """The scopes that the password grant may give, and what they mean."""
    return {name: meaning for name, meaning in settings.SCOPES.items() if name not in scopes.NEVER_BY_PASSWORD}
