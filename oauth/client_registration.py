"""Dynamic client registration (RFC 7591): software that describes itself becomes a client, not of ours, never with the password grant.

There is no management of what was registered (RFC 7592): staff change and disable such a client as they do any other.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts.actors import Actor
from oauth import clients, redirect_uris, scopes
from oauth.errors import InvalidClientMetadata, InvalidRedirectUri, InvalidRequest
from oauth.http import read_body
from oauth.json_parser import parse_object
from oauth.models import AUTHORIZATION_CODE, CLIENT_CREDENTIALS, DEVICE_CODE, REFRESH_TOKEN

# SECURITY: never the password grant: software that nobody has looked at would ask people for their passwords.
GRANT_TYPES = (AUTHORIZATION_CODE, REFRESH_TOKEN, CLIENT_CREDENTIALS, DEVICE_CODE)
WITHOUT_SECRET, *WITH_SECRET = AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post")
MOST_URIS = 20
MOST_NAME = 100


def read(request: HttpRequest) -> dict[str, Any]:
    """The metadata that was sent (RFC 7591 §3.1). Raises InvalidRequest."""
    if request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidRequest("Content-Type must be application/json.")
    return parse_object(read_body(request))


def register(sent: Mapping[str, Any], *, actor: Actor) -> dict[str, Any]:
    """What was registered, with the secret where there is one (RFC 7591 §3.2.1). Raises InvalidClientMetadata, InvalidRedirectUri."""
    grant_types = _words(sent, "grant_types", default=[AUTHORIZATION_CODE], among=GRANT_TYPES)
    response_types = _words(sent, "response_types", default=["code"], among=("code",))
    auth_method = sent.get("token_endpoint_auth_method", WITH_SECRET[0])
    if auth_method not in AUTH_METHODS:
        raise _may_hold("token_endpoint_auth_method", AUTH_METHODS)
    name, scope = _text(sent, "client_name", MOST_NAME), _scope(sent)
    uris, after = _uris(sent, "redirect_uris"), _uris(sent, "post_logout_redirect_uris")
    if AUTHORIZATION_CODE in grant_types and not uris:
        raise InvalidRedirectUri("none, and it asks for authorization codes")
    client_id = f"dyn-{secrets.token_urlsafe(12)}"
    try:
        made = clients.register(
            client_id,
            name=name or client_id,
            is_public=auth_method == WITHOUT_SECRET,
            grant_types=grant_types,
            allowed_scopes=scope,
            default_scopes=scope,
            redirect_uris=" ".join(uris),
            post_logout_redirect_uris=" ".join(after),
            actor=actor,
            reason="dynamic registration",
        )
    except ValidationError as error:
        raise InvalidClientMetadata("The metadata", f"cannot stand together: {' '.join(error.messages)}") from error
    answer = {
        "client_id": client_id,
        "client_id_issued_at": int(made.client.created.timestamp()),
        "client_name": made.client.name,
        "grant_types": grant_types,
        "response_types": response_types,
        "token_endpoint_auth_method": auth_method,
        "redirect_uris": uris,
        "post_logout_redirect_uris": after,
        "scope": scope,
    }
    return answer if made.secret_value is None else answer | {"client_secret": made.secret_value, "client_secret_expires_at": 0}


def _words(sent: Mapping[str, Any], name: str, *, default: list[str], among: Sequence[str]) -> list[str]:
    words = sent.get(name, default)
    if not isinstance(words, list) or not words or any(word not in among for word in words):
        raise _may_hold(name, among)
    return list(dict.fromkeys(words))


def _may_hold(name: str, among: Sequence[str]) -> InvalidClientMetadata:
    return InvalidClientMetadata(name, f"may hold: {', '.join(among)}.")


def _text(sent: Mapping[str, Any], name: str, most: int) -> str:
    value = sent.get(name, "")
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise InvalidClientMetadata(name, f"is a text of at most {most} characters.")
    return value


def _scope(sent: Mapping[str, Any]) -> str:
    """What it asked for, or all that anybody may register."""
    # SECURITY: what changes accounts, or the server, is given by staff alone.
    offered = frozenset(settings.SCOPES) - scopes.NEVER_DEFAULT
    try:
        asked = scopes.parse(_text(sent, "scope", 1000))
    except scopes.Malformed:
        raise InvalidClientMetadata("scope", "is malformed.") from None
    if not asked <= offered:
        raise _may_hold("scope", sorted(offered))
    return scopes.format(asked or offered)


def _uris(sent: Mapping[str, Any], name: str) -> list[str]:
    uris = sent.get(name, [])
    if not isinstance(uris, list) or len(uris) > MOST_URIS or not all(isinstance(uri, str) and _may_register(uri) for uri in uris):
        raise InvalidRedirectUri(f"{name} holds what may not be registered")
    return uris


def _may_register(uri: str) -> bool:
    """https; http at a loopback address; a scheme of the app's own, with a dot (RFC 8252 §7)."""
    # SECURITY: a code that is sent in clear is read on its way.
    if not redirect_uris.is_registrable(uri) or len(uri) > 500:
        return False
    parts = urlsplit(uri)
    if parts.scheme == "http":
        return parts.hostname in {"127.0.0.1", "::1", "localhost"}
    return parts.scheme == "https" or "." in parts.scheme
