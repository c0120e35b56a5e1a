"""The sidebar: sections by task, with what the person at the browser may see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import LoginCounter

BADGE_LIMIT = 99


@dataclass(frozen=True)
class Entry:
    """A line of the sidebar. `may_see` decides; `url_name` is of the admin; `query` narrows a list; `badge` counts, at little cost."""

    label: Any
    url_name: str
    may_see: Callable[[HttpRequest], bool]
    query: str = ""
    badge: Callable[[], int] | None = None

    @property
    def url(self) -> str:
        path = reverse(f"admin:{self.url_name}")
        return f"{path}?{self.query}" if self.query else path


@dataclass(frozen=True)
class Section:
    label: Any
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Line:
    """An entry as it is shown."""

    label: Any
    url: str
    is_current: bool
    badge: str = ""


@dataclass(frozen=True)
class Group:
    label: Any
    lines: tuple[Line, ...]


def _with(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _is_owner(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)


def _locked_now() -> int:
    """At most one more than a badge shows: an attack locks thousands of names."""
    return len(LoginCounter.objects.locked().order_by().values_list("pk", flat=True)[: BADGE_LIMIT + 1])


# A new page of the admin is one more Entry here.
SECTIONS = (
    Section("", (Entry(_("Overview"), "index", lambda request: True),)),
    Section(
        _("People"),
        (
            Entry(_("Users"), "accounts_user_changelist", _with("accounts.view_user")),
            Entry(_("Sessions"), "oauth_session_changelist", _with("oauth.view_session")),
            Entry(_("Lockouts"), "accounts_logincounter_changelist", _with("accounts.view_logincounter"), badge=_locked_now),
        ),
    ),
    Section(
        _("Applications"),
        (
            Entry(_("Clients"), "oauth_client_changelist", _with("oauth.view_client")),
            Entry(_("User roles"), "accounts_role_changelist", _with("accounts.view_role")),
        ),
    ),
    Section(
        _("Security"),
        (
            Entry(_("Signing keys"), "oauth_signingkey_changelist", _with("oauth.view_signingkey")),
            Entry(_("Audit log"), "accounts_auditevent_changelist", _with("accounts.view_auditevent")),
            Entry(_("Explain a failure"), "explain", _with("accounts.view_refusal")),
            Entry(_("Refused requests"), "accounts_refusal_changelist", _with("accounts.view_refusal")),
        ),
    ),
    Section(
        _("Staff"),
        (
            Entry(_("Staff accounts"), "accounts_user_changelist", _with("accounts.view_user"), query="is_staff__exact=1"),
            Entry(_("Roles"), "auth_group_changelist", _is_owner),
        ),
    ),
)


def groups(request: HttpRequest) -> tuple[Group, ...]:
    """What this person sees, section by section; a section without a line is left out."""
    found = [(section, [entry for entry in section.entries if entry.may_see(request)]) for section in SECTIONS]
    current = _current(request, [entry for _, entries in found for entry in entries])
    return tuple(Group(section.label, tuple(_line(each, current) for each in entries)) for section, entries in found if entries)


def _current(request: HttpRequest, entries: list[Entry]) -> Entry | None:
    """The entry that fits the page best: a narrowed list before the whole one, and that before the start."""
    query = set(request.META.get("QUERY_STRING", "").split("&"))
    fitting = [each for each in entries if _fits(each, path=request.path, query=query)]
    return max(fitting, key=lambda each: (len(reverse(f"admin:{each.url_name}")), len(each.query)), default=None)


def _fits(entry: Entry, *, path: str, query: set[str]) -> bool:
    own = reverse(f"admin:{entry.url_name}")
    if entry.url_name == "index":
        return path == own
    return path.startswith(own) and (not entry.query or (path == own and entry.query in query))


def _line(entry: Entry, current: Entry | None) -> Line:
    count = entry.badge() if entry.badge is not None else 0
    badge = "" if not count else str(count) if count <= BADGE_LIMIT else f"{BADGE_LIMIT}+"
    return Line(entry.label, entry.url, entry is current, badge)


def role_of(request: HttpRequest) -> Any:
    """What the person is here, in a word or two."""
    user = request.user
    if user.is_superuser:
        return _("owner")
    names = list(user.groups.values_list("name", flat=True)[:2])
    return ", ".join(names) or _("staff")
