"""GET and POST /oauth/logout: an app sends somebody here who signed out of it (OpenID Connect RP-Initiated Logout 1.0)."""

from dataclasses import dataclass

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts import audit
from accounts.actors import actor_of
from oauth import clients, http, id_tokens, keys, redirect_uris, sessions
from oauth.authorization_request import Pairs, Unsafe, single
from oauth.browser_refusals import answers_requests
from oauth.errors import InvalidRequest, InvalidToken
from oauth.id_tokens import IdentityClaims
from oauth.models import Client

SIGNED_OUT = "signed_out_by_app"
MOST_STATE = 2048


@dataclass(frozen=True)
class LogoutRequest:
    """`return_to` is where the person goes afterwards, with the state; empty: nowhere."""

    hint: IdentityClaims | None
    client: Client | None
    return_to: str


@csrf_exempt  # It comes from the app's page, without a cookie of ours, and goes on as a GET.
@require_http_methods(["GET", "HEAD", "POST"])
@answers_requests
def logout(request: HttpRequest) -> HttpResponse:
    """GET /oauth/logout; a POST of the same parameters goes on as a GET (RP-Initiated Logout 1.0 §2)."""
    if request.method == "POST":
        return HttpResponseRedirect(f"{reverse('oauth_logout')}?{http.form_as_query(request)}", status=303)
    query = request.META.get("QUERY_STRING", "")
    asked = _parse(query)
    user = request.user
    if not user.is_authenticated:
        _end_session(request, asked)
        return _done(request, asked)
    # SECURITY: a link on any page may lead here: only an id_token of this very person speaks for them.
    if asked.hint is None or asked.hint.user_id != user.pk:
        return _question(request, asked, query=query)
    return _sign_out(request, asked)


@require_http_methods(["POST"])
@answers_requests
def confirm(request: HttpRequest) -> HttpResponse:
    """POST /oauth/logout/confirmed: the person has pressed the button."""
    try:
        query = signing.loads(request.POST.get("request", ""), salt=_salt(request))
    except signing.BadSignature:
        raise Unsafe(InvalidRequest("This page belongs to another sign-in. Start again in the app.")) from None
    return _sign_out(request, _parse(query))


def _parse(query: str) -> LogoutRequest:
    """Raises InvalidRequest, which is told to the person."""
    pairs = http.parse_query(query)
    hint, named = _hint(single(pairs, "id_token_hint")), single(pairs, "client_id")
    # SECURITY: the hint is for one client; another that shows it has it from somewhere else.
    if hint is not None and named and named != hint.client_id:
        raise InvalidRequest("client_id is not the app that id_token_hint was made for.")
    client_id = hint.client_id if hint else named
    client = clients.cache.find(client_id) if client_id else None
    return LogoutRequest(hint, client, _return_to(pairs, client))


def _hint(value: str) -> IdentityClaims | None:
    """None for none, and for one whose key is gone: then the person is asked."""
    if not value:
        return None
    try:
        return id_tokens.read_hint(value, keys=keys.ring.view().verification_keys, issuer=settings.JWT_ISSUER)
    except InvalidToken:
        return None


def _return_to(pairs: Pairs, client: Client | None) -> str:
    uri, state = single(pairs, "post_logout_redirect_uri"), single(pairs, "state")
    if not uri:
        return ""
    # SECURITY: or this server sends people to whoever asks.
    if client is None or not client.is_active or not redirect_uris.is_among(uri, registered=client.post_logout_redirect_uris.split()):
        raise InvalidRequest("The post_logout_redirect_uri is none of those that are registered for this app.")
    if len(state) > MOST_STATE:
        raise InvalidRequest(f"The parameter state has more than {MOST_STATE} characters.")
    return redirect_uris.with_parameters(uri, {"state": state} if state else {})


def _question(request: HttpRequest, asked: LogoutRequest, *, query: str) -> HttpResponse:
    name = "" if asked.client is None else asked.client.name or asked.client.client_id
    response = render(request, "logout.html", {"state": "question", "name": name, "signed": signing.dumps(query, salt=_salt(request))})
    if asked.return_to:
        response["Content-Security-Policy"] = http.policy_with_form_action(redirect_uris.source_of(asked.return_to))
    return response


def _sign_out(request: HttpRequest, asked: LogoutRequest) -> HttpResponse:
    _end_session(request, asked)
    if request.user.is_authenticated:
        get_adapter(request).logout(request)
    return _done(request, asked)


def _end_session(request: HttpRequest, asked: LogoutRequest) -> None:
    """The session at the app that the id_token is of. Who holds it could as well revoke its refresh token."""
    hint = asked.hint
    if hint is None or asked.client is None:
        return
    if sessions.revoke(hint.session_id, reason=SIGNED_OUT, client=asked.client):
        detail = {"by": "app", "user": str(hint.user_id)}
        audit.record(
            "session:revocation:succeeded", target=hint.session_id, client_id=asked.client.client_id, detail=detail, **actor_of(request)
        )


def _done(request: HttpRequest, asked: LogoutRequest) -> HttpResponse:
    if asked.return_to:
        response = HttpResponse(status=303)
        response["Location"] = asked.return_to
        return response
    return render(request, "logout.html", {"state": "done"})


def _salt(request: HttpRequest) -> str:
    return f"oauth.logout_views:{request.user.pk}:{request.session.session_key}"
