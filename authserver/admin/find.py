"""The find box: one text, looked up by the indexes of what it may name; one hit is gone to, several are listed."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin import AdminSite
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import identifiers
from accounts.models import Refusal, User
from oauth.models import Client, Session, SigningKey

MOST_OF_A_KIND = 10
SHORTEST_BEGINNING = 2
CANONICAL_COLUMNS = ("username_canonical", "email_canonical")
LONGEST = 200
_ERROR_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Hit:
    kind: Any
    name: str
    detail: str
    url: str
    is_exact: bool = False


@dataclass(frozen=True)
class Kind:
    """What may be found, by whom, and how: every lookup is of a whole key or of an index's beginning, and takes a few rows."""

    label: Any
    permission: str
    look_up: Callable[[str], Iterator[Hit]]


def view(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """POST /admin/find/. What is typed stays out of addresses, and so out of logs: it may be a secret pasted by mistake."""
    if request.method not in {"GET", "POST"}:
        return HttpResponseNotAllowed(["GET", "POST"])
    text = request.POST.get("find", "").strip()[:LONGEST]
    hits = hits_of(request, text)
    sure = [hit for hit in hits if hit.is_exact] or hits
    if len(sure) == 1:
        return HttpResponseRedirect(sure[0].url)
    context = {**site.each_context(request), "title": _("Find"), "find_text": text, "hits": hits}
    return TemplateResponse(request, "admin/find.html", context)


def hits_of(request: HttpRequest, text: str) -> list[Hit]:
    """What of it the person at the browser may see."""
    if not text or "\0" in text:
        return []
    may_see = [kind for kind in KINDS if request.user.has_perm(kind.permission)]
    return [hit for kind in may_see for hit in kind.look_up(text)]


def _users(text: str) -> Iterator[Hit]:
    known = _uuid(text)
    if known is not None:
        yield from map(_user, User.objects.filter(pk=known))
        return
    try:
        canonical = identifiers.canonical(text)
    except identifiers.InvalidIdentifier:
        return
    exact = User.objects.identified_by(canonical).first()
    if exact is not None:
        yield _user(exact)
    elif len(canonical) >= SHORTEST_BEGINNING:
        # One column at a time, and unsorted: beside an OR or an order the database may choose to read the whole table.
        by_column = (User.objects.filter(**_beginning(column, canonical))[:MOST_OF_A_KIND] for column in CANONICAL_COLUMNS)
        found = {user.pk: user for rows in by_column for user in rows}
        beginning = sorted(found.values(), key=lambda user: user.username_canonical or "")
        yield from (_user(user, is_exact=False) for user in beginning[:MOST_OF_A_KIND])


def _user(user: User, *, is_exact: bool = True) -> Hit:
    return Hit(_("User"), user.username, user.email, _change("accounts_user", user.pk), is_exact)


def _clients(text: str) -> Iterator[Hit]:
    for client in Client.objects.filter(**_beginning("client_id", text)).order_by("client_id")[:MOST_OF_A_KIND]:
        yield Hit(_("Client"), client.client_id, client.name, _change("oauth_client", client.pk), is_exact=client.client_id == text)


def _keys(text: str) -> Iterator[Hit]:
    for key in SigningKey.objects.filter(**_beginning("kid", text))[:MOST_OF_A_KIND]:
        yield Hit(_("Signing key"), key.kid, key.algorithm, _change("oauth_signingkey", key.pk), is_exact=key.kid == text)


def _sessions(text: str) -> Iterator[Hit]:
    known = _uuid(text)
    for session in Session.objects.select_related("user", "client").filter(pk=known) if known is not None else ():
        yield Hit(_("Session"), str(session.pk), f"{session.user}, {session.client}", _change("oauth_session", session.pk), is_exact=True)


def _refusals(text: str) -> Iterator[Hit]:
    wanted = text.lower()
    for refusal in Refusal.objects.filter(pk=wanted) if _ERROR_ID.fullmatch(wanted) else ():
        url = f"{reverse('admin:explain')}?{urlencode({'error_id': refusal.pk})}"
        yield Hit(_("Refused request"), refusal.error_id, refusal.reason, url, is_exact=True)


def _addresses(text: str) -> Iterator[Hit]:
    """Without asking whether anything is known of it: the list of events looks that up, in its own window."""
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError:
        return
    query = urlencode({"address": address})
    yield Hit(
        _("Address"), address, str(_("Its events in the audit log")), f"{reverse('admin:accounts_auditevent_changelist')}?{query}", True
    )


# What others add is found too, once it stands here.
KINDS = (
    Kind(_("User"), "accounts.view_user", _users),
    Kind(_("Client"), "oauth.view_client", _clients),
    Kind(_("Signing key"), "oauth.view_signingkey", _keys),
    Kind(_("Session"), "oauth.view_session", _sessions),
    Kind(_("Refused request"), "accounts.view_refusal", _refusals),
    Kind(_("Address"), "accounts.view_auditevent", _addresses),
)


def _beginning(column: str, text: str) -> dict[str, str]:
    """In the words for which each database reads an index: PostgreSQL's for LIKE, SQLite's for order."""
    if connection.vendor == "postgresql":
        return {f"{column}__startswith": text}
    return {f"{column}__gte": text, f"{column}__lt": f"{text}\U0010ffff"}


def _change(name: str, pk: Any) -> str:
    return reverse(f"admin:{name}_change", args=(pk,))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
