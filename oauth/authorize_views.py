"""GET and POST /oauth/authorize: who is asked for what, and the answer to the client (RFC 6749 §4.1, RFC 9207).

Nothing is kept between the pages: each of them carries the whole request, and it is read and checked anew every time.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts import browser_proof, clock
from accounts.actors import actor_of
from accounts.models import User
from oauth import (
    authorization_codes,
    authorization_request,
    clients,
    consents,
    http,
    id_tokens,
    keys,
    redirect_uris,
    scope_texts,
)
from oauth.authorization_request import CONSENT, LOGIN, NONE, SELECT_ACCOUNT, AuthorizationRequest, Unsafe, returning_to
from oauth.browser_refusals import SendAway, answers_requests, return_to_app
from oauth.errors import AccessDenied, ConsentRequired, InteractionRequired, InvalidRequest, InvalidToken, LoginRequired

DECISION_TIME = timedelta(minutes=10)


@csrf_exempt  # A client's form may come from anywhere; it changes nothing and is answered as a link would be.
@require_http_methods(["GET", "HEAD", "POST"])
@answers_requests
def authorize(request: HttpRequest) -> HttpResponse:
    """GET /oauth/authorize; a POST of the same parameters goes on as a GET (OpenID Connect Core 1.0 §3.1.2.1)."""
    if request.method == "POST":
        return HttpResponseRedirect(f"{reverse('oauth_authorize')}?{http.form_as_query(request)}", status=303)
    query = request.META.get("QUERY_STRING", "")
    asked = _parse(query)
    with returning_to(asked.redirect_uri, state=asked.state):
        user = _signed_in(request, asked, query=query)
        if _must_show(asked, user):
            if NONE in asked.prompt:
                raise ConsentRequired()
            return _consent_page(request, asked, query=query)
        return _allow(request, asked, user)


@require_http_methods(["POST"])
@answers_requests
def decide(request: HttpRequest) -> HttpResponse:
    """POST /oauth/authorize/decision: the person has pressed one of the two buttons."""
    try:
        # SECURITY: signed for this person in this browser: a decision is about the request that the page showed, and no other.
        query = signing.loads(request.POST.get("request", ""), salt=_salt(request), max_age=DECISION_TIME)
    except signing.BadSignature:
        raise Unsafe(InvalidRequest("This page is too old, or belongs to another sign-in. Start again in the app.")) from None
    asked = _parse(query)
    with returning_to(asked.redirect_uri, state=asked.state):
        if request.POST.get("decision") != "allow":
            raise AccessDenied("the user pressed Deny")
        user = _signed_in(request, asked, query=query)
        if not asked.client.skip_authorization:
            consents.give(user, client=asked.client, scope=asked.scope, actor=actor_of(request))
        return _allow(request, asked, user)


@require_http_methods(["GET", "HEAD"])
def resume(request: HttpRequest) -> HttpResponse:
    """GET /oauth/authorize/resume: on to the request, by a page of its own.

    Browsers hold the redirects after a form to the form-action of its page; whose form it was, a sign-in, cannot know the app's address.
    """
    return render(request, "authorize_resume.html", {"url": f"{reverse('oauth_authorize')}?{request.META.get('QUERY_STRING', '')}"})


def _signed_in(request: HttpRequest, asked: AuthorizationRequest, *, query: str) -> User:
    """The person at the browser, who proved who they are as recently as the request wants. Raises SendAway, LoginRequired."""
    user, may_ask = request.user, NONE not in asked.prompt
    if not isinstance(user, User):
        if not may_ask:
            raise LoginRequired("nobody is signed in")
        raise SendAway(_sign_in_url(query, login_hint=asked.login_hint))
    if asked.id_token_hint and _hinted(asked) != user.pk:
        raise LoginRequired("id_token_hint is of somebody else", user_id=user.pk)
    proof = browser_proof.of(request)
    is_too_old = asked.max_age is not None and clock.now() - proof.auth_time > timedelta(seconds=asked.max_age)
    if is_too_old or asked.max_age == 0 or LOGIN in asked.prompt:
        if not may_ask:
            raise LoginRequired("the sign-in is older than max_age", user_id=user.pk)
        raise SendAway(_prove_again_url(query))
    if browser_proof.must_be_stronger(request):
        # SECURITY: who can change the server needs more than a password, at every door.
        if not may_ask:
            raise InteractionRequired("staff without a second factor", user_id=user.pk)
        raise SendAway(_prove_again_url(query) if user.has_second_factor else reverse("mfa_index"))
    return user


def _must_show(asked: AuthorizationRequest, user: User) -> bool:
    """Whether the person is asked, or has been before."""
    if asked.prompt & {CONSENT, SELECT_ACCOUNT}:
        return True
    if asked.client.skip_authorization:
        return False
    # SECURITY: another app on the device can take what is sent to a loopback address or a scheme of its own (RFC 8252 §8.6).
    is_proven = redirect_uris.is_claimed(asked.redirect_uri) or not asked.client.is_public
    return not is_proven or not consents.covers(user, client=asked.client, scope=asked.scope)


def _allow(request: HttpRequest, asked: AuthorizationRequest, user: User) -> HttpResponse:
    code = authorization_codes.issue(asked, user=user, proof=browser_proof.of(request))
    return return_to_app(asked.redirect_uri, {"code": code}, state=asked.state)


def _consent_page(request: HttpRequest, asked: AuthorizationRequest, *, query: str) -> HttpResponse:
    context = {
        "client": asked.client,
        "name": asked.client.name or asked.client.client_id,
        "scopes": scope_texts.explained(asked.scope),
        "where": redirect_uris.source_of(asked.redirect_uri),
        "signed": signing.dumps(query, salt=_salt(request)),
        "resume_url": _resume_url(query),
    }
    response = render(request, "consent.html", context)
    # The button's answer leads to the app.
    response["Content-Security-Policy"] = http.policy_with_form_action(redirect_uris.source_of(asked.redirect_uri))
    return response


def _parse(query: str) -> AuthorizationRequest:
    try:
        pairs = http.parse_query(query)
    except InvalidRequest as refusal:
        raise Unsafe(refusal) from refusal
    return authorization_request.parse(pairs, find_client=clients.cache.find)


def _hinted(asked: AuthorizationRequest) -> Any:
    try:
        hint = id_tokens.read_hint(asked.id_token_hint, keys=keys.ring.view().verification_keys, issuer=settings.JWT_ISSUER)
    except InvalidToken as refusal:
        raise InvalidRequest("id_token_hint is no id_token of this server.") from refusal
    return hint.user_id


def _sign_in_url(query: str, *, login_hint: str) -> str:
    hint = {"login_hint": login_hint} if login_hint else {}
    return f"{reverse('account_login')}?{urlencode({'next': _resume_url(query)} | hint)}"


def _prove_again_url(query: str) -> str:
    return f"{reverse('account_reauthenticate')}?{urlencode({'next': _resume_url(query)})}"


def _resume_url(query: str) -> str:
    """Back to this request, without what has been done by then: a sign-in that is proven again is not asked for once more."""
    kept = []
    for name, value in http.parse_query(query):
        left = " ".join(word for word in value.split() if word not in {LOGIN, SELECT_ACCOUNT}) if name == "prompt" else value
        if left and not (name == "max_age" and left.strip("0") == ""):
            kept.append((name, left))
    return f"{reverse('oauth_authorize_resume')}?{urlencode(kept)}"


def _salt(request: HttpRequest) -> str:
    return f"oauth.authorize_views:{request.user.pk}:{request.session.session_key}"
