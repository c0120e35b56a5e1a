"""How endpoints that browsers come to refuse: to the app when its address is proven, to the person when not (RFC 6749 §4.1.2.1)."""

import logging
from collections.abc import Callable
from functools import wraps
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from accounts import refusals
from accounts.actors import user_agent
from oauth import http, redirect_uris
from oauth.authorization_request import Returned, Unsafe
from oauth.errors import InvalidRequest, OAuthError

View = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger("authserver.refusals")


class SendAway(Exception):
    """The person has to do something at this server first, and comes back with the same request."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url


def answers_requests(view: View) -> View:
    """For a page that an app sends people to."""

    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except Returned as returned:
            refusal = returned.refusal
            _report(refusal, request=request)
            answer = {"error": refusal.error, "error_description": refusal.description, "error_id": refusal.error_id}
            return return_to_app(returned.redirect_uri, answer, state=returned.state)
        except Unsafe as unsafe:
            return _page(request, unsafe.refusal)
        except InvalidRequest as refusal:
            return _page(request, refusal)
        except SendAway as away:
            return HttpResponseRedirect(away.url)

    return wrapped


def return_to_app(redirect_uri: str, answer: dict[str, str], *, state: str) -> HttpResponse:
    """By GET (RFC 6749 §4.1.2), with who answers (RFC 9207 §2)."""
    parameters = answer | ({"state": state} if state else {}) | {"iss": settings.JWT_ISSUER}
    response = HttpResponse(status=303)
    response["Location"] = redirect_uris.with_parameters(redirect_uri, parameters)
    return response


def _page(request: HttpRequest, refusal: OAuthError) -> HttpResponse:
    _report(refusal, request=request)
    return render(request, "request_refused.html", {"refusal": refusal}, status=400)


def _report(refusal: OAuthError, *, request: HttpRequest) -> None:
    """For the log, and for staff who are told the error_id."""
    names = (name for name, _ in parse_qsl(request.META.get("QUERY_STRING", ""), keep_blank_values=True))
    extra = {"error": refusal.error, "reason": refusal.reason, "status": refusal.status, "error_id": refusal.error_id}
    logger.info("refused", extra=extra)
    refusals.record(
        refusal.error_id,
        status=refusal.status,
        error=refusal.error,
        reason=refusal.reason,
        client_id=refusal.client_id,
        user_id=refusal.user_id,
        address=request.META["authserver.address"],
        user_agent=user_agent(request),
        shape={"path": request.path, **http.names_in_shape(names)},
    )
