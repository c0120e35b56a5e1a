"""The OAuth endpoints over HTTP: parse, authenticate the client, delegate, answer."""

import hmac
import re
from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_post_parameters

from accounts import clock
from accounts.actors import Actor, user_agent
from oauth import (
    ceilings,
    client_registration,
    clients,
    device_codes,
    introspection,
    key_set_use,
    keys,
    live_tokens,
    metadata,
    public_documents,
    revocation,
    scopes,
)
from oauth import userinfo as user_info
from oauth.errors import (
    InvalidClient,
    InvalidRequest,
    InvalidToken,
    NoAccessToken,
    NotFound,
    TemporarilyUnavailable,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from oauth.grant_types import GRANT_TYPES, TokenRequest, grantable_scope, is_offered
from oauth.http import NO_STORE, Form, note_client, note_shape, only, renders_oauth_errors, respond
from oauth.models import DEVICE_CODE, Client
from oauth.request_metrics import counts_token_requests
from oauth.session_rows import Origin

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{16,255}")


@sensitive_post_parameters()
@renders_oauth_errors
@counts_token_requests
@only("POST")
def token(request: HttpRequest) -> HttpResponse:
    """POST /oauth/token (RFC 6749 §3.2)."""
    now = clock.now()
    form = Form.parse(request)
    idempotency_key = _idempotency_key(request)
    grant_type = form["grant_type"]
    client = _authenticated_client(request, form, now=now)
    presented = ceilings.ensure_request_allowed(form, address=request.META["authserver.address"])
    if not is_offered(grant_type):
        raise UnsupportedGrantType("unknown grant_type, or switched off")
    if not client.allows_grant_type(grant_type):
        raise UnauthorizedClient("grant type not among the client's")
    granted = GRANT_TYPES[grant_type](TokenRequest(form, client, _origin(request), idempotency_key, now, presented))
    return respond(granted.as_dict())


@sensitive_post_parameters()
@renders_oauth_errors
@only("POST")
def device_authorization(request: HttpRequest) -> HttpResponse:
    """POST /oauth/device_authorization (RFC 8628 §3.1)."""
    now = clock.now()
    form = Form.parse(request)
    client = _authenticated_client(request, form, now=now)
    ceilings.ensure_request_allowed(form, address=request.META["authserver.address"])
    if not client.allows_grant_type(DEVICE_CODE):
        raise UnauthorizedClient("device grant not among the client's")
    asked = TokenRequest(form, client, _origin(request), "", now)
    scope = grantable_scope(asked, withheld=scopes.NEVER_BY_DEVICE)
    return respond(device_codes.make(client, scope=scope, origin=asked.origin).as_dict())


@sensitive_post_parameters()
@renders_oauth_errors
@only("POST")
def introspect(request: HttpRequest) -> HttpResponse:
    """POST /oauth/introspect (RFC 7662 §2)."""
    now = clock.now()
    form = Form.parse(request)
    value = form["token"]
    client = _authenticated_client(request, form, now=now, allow_public=False)
    introspection.ensure_may_introspect(client)
    return respond(introspection.introspect(value, caller=client, now=now))


@sensitive_post_parameters()
@renders_oauth_errors
@only("POST")
def revoke(request: HttpRequest) -> HttpResponse:
    """POST /oauth/revoke (RFC 7009 §2)."""
    now = clock.now()
    form = Form.parse(request)
    value = form["token"]
    client = _authenticated_client(request, form, now=now)
    revocation.revoke(value, client=client, origin=_origin(request), now=now)
    return respond({})


@sensitive_post_parameters()
@renders_oauth_errors
@only("GET", "HEAD", "POST")
def userinfo(request: HttpRequest) -> HttpResponse:
    """GET and POST /oauth/userinfo (OpenID Connect Core 1.0 §5.3); a POST may carry the token in its body (RFC 6750 §2.2)."""
    value = live_tokens.find_value(request)
    if request.method == "POST" and request.META.get("CONTENT_LENGTH", "").strip("0"):
        sent = Form.parse(request).optional("access_token")
        if sent and value is not None:
            raise InvalidRequest("Send the access token once: in the Authorization header, or in the body.")
        value = sent or value
    if value is None:
        raise NoAccessToken("no access token")
    note_shape(request, Form({}))
    claims, told = user_info.read(value, now=clock.now())
    note_client(request, claims["client_id"])
    return respond(told)


@sensitive_post_parameters()
@renders_oauth_errors
@only("POST")
def register(request: HttpRequest) -> HttpResponse:
    """POST /oauth/register (RFC 7591), for who has the initial access token; where none is set nobody registers by themselves."""
    if not settings.CLIENT_REGISTRATION_TOKEN:
        raise NotFound("There is nothing here.")
    value = live_tokens.find_value(request)
    if value is None:
        raise NoAccessToken("no initial access token")
    # SECURITY: or anybody makes a client that people take for one of this server's.
    if not hmac.compare_digest(value.encode("latin-1", "replace"), settings.CLIENT_REGISTRATION_TOKEN.encode()):
        raise InvalidToken("not the initial access token")
    origin = _origin(request)
    actor = Actor(actor_id=None, address=origin.address, user_agent=origin.user_agent)
    return respond(client_registration.register(client_registration.read(request), actor=actor), status=201)


@renders_oauth_errors
@only("GET", "HEAD")
def verify(request: HttpRequest) -> HttpResponse:
    """GET /oauth/verify: a proxy asks before it lets a request through (nginx's auth_request)."""
    value = live_tokens.find_value(request)
    if value is None:
        raise NoAccessToken("no access token")
    note_shape(request, Form({}))
    claims = live_tokens.verify(value, audience=settings.JWT_AUDIENCE, now=clock.now())
    note_client(request, claims["client_id"])
    # SECURITY: a token outlives its session, and a proxy that asks could have verified the signature by itself.
    live_tokens.get_user(claims)
    response = HttpResponse(
        status=204,
        headers=NO_STORE | {"X-Auth-Subject": claims["sub"], "X-Auth-Scope": claims["scope"], "X-Auth-Client": claims["client_id"]},
    )
    del response["Content-Type"]
    return response


@renders_oauth_errors
@only("GET", "HEAD")
def jwks(request: HttpRequest) -> HttpResponse:
    """GET /.well-known/jwks.json (RFC 7517 §5), from memory."""
    view = keys.ring.view()
    if not view.verification_keys:
        # An empty set would be cached, and every token refused for as long.
        raise TemporarilyUnavailable("no signing key; run manage.py bootstrap")
    response = public_documents.serve(request, view.jwks, view.etag, max_age=settings.JWKS_MAX_AGE)
    key_set_use.tally.note(response.status_code)
    return response


@renders_oauth_errors
@only("GET", "HEAD")
def server_metadata(request: HttpRequest) -> HttpResponse:
    """GET /.well-known/oauth-authorization-server (RFC 8414) and /.well-known/openid-configuration (OpenID Connect Discovery 1.0 §4)."""
    return public_documents.serve(request, *metadata.body(algorithms=keys.ring.view().algorithms), max_age=settings.JWKS_MAX_AGE)


@renders_oauth_errors
@only("GET", "HEAD")
def protected_resource_metadata(request: HttpRequest) -> HttpResponse:
    """GET /.well-known/oauth-protected-resource (RFC 9728): of this server's own JSON API."""
    return public_documents.serve(request, *metadata.resource_body(), max_age=settings.JWKS_MAX_AGE)


def _authenticated_client(request: HttpRequest, form: Form, *, now: datetime, allow_public: bool = True) -> Client:
    """The client that sent the request, which from here on is stored when it is refused."""
    note_shape(request, form)
    try:
        client = clients.authenticate(request.META.get("HTTP_AUTHORIZATION"), form=form, now=now, allow_public=allow_public)
    except InvalidClient as failure:
        ceilings.count_failed_client(failure, address=request.META["authserver.address"])
        raise
    note_client(request, client.client_id)
    return client


def _idempotency_key(request: HttpRequest) -> str:
    key: str = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
    if key and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key must be of 16 to 255 visible ASCII characters.")
    return key


def _origin(request: HttpRequest) -> Origin:
    return Origin(address=request.META["authserver.address"], user_agent=user_agent(request))
