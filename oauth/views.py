"""The OAuth endpoints over HTTP: parse, authenticate the client, delegate, answer."""

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from django.views.decorators.debug import sensitive_post_parameters

from accounts import clock
from oauth import clients, keys, metadata
from oauth.errors import InvalidRequest, TemporarilyUnavailable, UnauthorizedClient, UnsupportedGrantType
from oauth.grant_types import GRANT_TYPES, TokenRequest, offered
from oauth.http import Form, note_client, note_shape, only, renders_oauth_errors, respond, user_agent
from oauth.session_rows import Origin

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{16,255}")


@sensitive_post_parameters()
@renders_oauth_errors
@only("POST")
def token(request: HttpRequest) -> HttpResponse:
    """POST /oauth/token (RFC 6749 §3.2)."""
    now = clock.now()
    form = Form.parse(request)
    idempotency_key = _idempotency_key(request)
    grant_type = form["grant_type"]
    note_shape(request, form)
    client = clients.authenticate(request.META.get("HTTP_AUTHORIZATION"), form=form, now=now)
    note_client(request, client.client_id)
    if grant_type not in offered():
        raise UnsupportedGrantType("unknown grant_type, or switched off")
    if not client.allows_grant_type(grant_type):
        raise UnauthorizedClient("grant type not among the client's")
    granted = GRANT_TYPES[grant_type](TokenRequest(form, client, _origin(request), idempotency_key, now))
    return respond(granted.as_dict())


@renders_oauth_errors
@only("GET", "HEAD")
def jwks(request: HttpRequest) -> HttpResponse:
    """GET /.well-known/jwks.json (RFC 7517 §5), from memory."""
    view = keys.ring.view()
    if not view.public_keys:
        # An empty set would be cached, and every token refused for as long.
        raise TemporarilyUnavailable("no signing key; run manage.py bootstrap")
    return _public_document(request, view.jwks, view.etag)


@renders_oauth_errors
@only("GET", "HEAD")
def authorization_server_metadata(request: HttpRequest) -> HttpResponse:
    """GET /.well-known/oauth-authorization-server (RFC 8414)."""
    return _public_document(request, *metadata.body())


def _public_document(request: HttpRequest, content: bytes, etag: str) -> HttpResponse:
    """JSON that anyone may read, from any origin, and keep for a while."""
    known = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
    response: HttpResponse
    if "*" in known or etag in known or f"W/{etag}" in known:
        response = HttpResponseNotModified()
    else:
        response = HttpResponse(content, content_type="application/json")
    response["ETag"] = etag
    response["Cache-Control"] = f"public, max-age={int(settings.JWKS_MAX_AGE.total_seconds())}"
    response["Access-Control-Allow-Origin"] = "*"
    return response


def _idempotency_key(request: HttpRequest) -> str:
    key: str = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
    if key and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key must be of 16 to 255 visible ASCII characters.")
    return key


def _origin(request: HttpRequest) -> Origin:
    return Origin(address=request.META["authserver.address"], user_agent=user_agent(request))
