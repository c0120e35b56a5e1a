"""The gate before dangerous acts: who signed in longer than a quarter of an hour ago proves again who they are, and comes back."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlencode

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from allauth.core.internal.httpkit import serialize_request
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse

from accounts import clock

RECENT = timedelta(minutes=15)
# Who opens a page that asks for a reason has this long to write it.
TIME_TO_TYPE = timedelta(minutes=5)
_SECRETS = ("password", "secret", "token", "code", "credential")

View = TypeVar("View", bound=Callable[..., Any])


def is_recent(request: HttpRequest, *, within: timedelta = RECENT) -> bool:
    """Whether the person at this browser proved who they are within this time: by their second factor, if they have one."""
    records = get_authentication_records(request, request.user)
    # SECURITY: or a password that was seen over a shoulder is all it takes in a browser that was left open.
    if records and request.user.has_second_factor:  # type: ignore[union-attr] # of somebody who proved something
        records = [record for record in records if record["method"] == "mfa"]
    return bool(records) and clock.now().timestamp() - records[-1]["at"] < within.total_seconds()


def requires_recent_sign_in(view: View) -> View:
    """For a view, or a method of a ModelAdmin that takes the request first.

    A page is asked for five minutes before it would be too late to send it. What was sent too late is kept, without secrets,
    and shown again: the page's own confirmation comes once more, and nothing is done before it.
    """

    @wraps(view)
    def gated(*args: Any, **kwargs: Any) -> Any:
        request = next(each for each in args if isinstance(each, HttpRequest))
        # SECURITY: an unlocked browser that was left alone changes no key, secret or member of staff.
        if is_recent(request, within=RECENT if request.method == "POST" else RECENT - TIME_TO_TYPE):
            return view(*args, **kwargs)
        return ask_again(request)

    return gated  # type: ignore[return-value] # the same signature


def ask_again(request: HttpRequest, *, back_to: str = "") -> HttpResponse:
    """Away to prove who one is, and back to where the request was going; or to `back_to`, and what was sent is not kept."""
    if request.method == "POST" and not back_to:
        request.POST = _without_secrets(request.POST)  # type: ignore[assignment] # as immutable as the one before
        request.session[STATE_SESSION_KEY] = {"request": serialize_request(_lean(request))}
    query = urlencode({REDIRECT_FIELD_NAME: back_to or request.get_full_path()})
    return HttpResponseRedirect(f"{reverse('account_reauthenticate')}?{query}")


def _without_secrets(sent: QueryDict) -> QueryDict:
    """What a form shows again. Without `confirmed`, so that it asks once more."""
    kept = QueryDict(mutable=True)
    for name, values in sent.lists():
        if name not in {"csrfmiddlewaretoken", "confirmed"} and not any(secret in name.lower() for secret in _SECRETS):
            kept.setlist(name, values)
    kept._mutable = False
    return kept


def _lean(request: HttpRequest) -> HttpRequest:
    """Without cookies and other headers that the session has no use for."""
    copy = HttpRequest()
    names = ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "HTTP_HOST", "HTTP_USER_AGENT", "authserver.address", "wsgi.url_scheme")
    copy.META = {name: request.META[name] for name in names if name in request.META}
    copy.method, copy.path, copy.path_info = request.method, request.path, request.path_info
    copy.GET, copy.POST = request.GET, request.POST
    copy._get_scheme = lambda: request.scheme  # type: ignore[attr-defined] # as allauth's own copy
    return copy
