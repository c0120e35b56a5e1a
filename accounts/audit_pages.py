"""A page of the audit log without counting it: rows from a place on, as many as are shown and one more to know whether there are others."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import AuditEvent, User

BEFORE = "before"
ORDER = ("-at", "-id")
Events = QuerySet[AuditEvent]


class EventList(ChangeList):
    """Newest first. `before` is the place after the last row of the page before: its instant and id."""

    before = older_url = newest_url = ""

    def get_filters_params(self, params: Any = None) -> Any:
        wanted = super().get_filters_params(params)
        self.before = (wanted.pop(BEFORE, None) or [self.before])[-1]
        for kept in (self.params, self.filter_params):  # another filter or search begins with the newest again
            kept.pop(BEFORE, None)
        return wanted

    def get_results(self, request: HttpRequest) -> None:
        events = self.queryset.order_by(*ORDER)
        if self.before:
            events = after(events, place=parsed(self.before))
            self.newest_url = self.get_query_string()
        rows = list(events[: self.list_per_page + 1])
        if len(rows) > self.list_per_page:
            del rows[self.list_per_page :]
            self.older_url = self.get_query_string({BEFORE: place_of(rows[-1])})
        name_people(rows)
        leads_to_people = request.user.has_perm("accounts.view_user")
        for row in rows:
            row.leads_to_people = leads_to_people
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = None
        self.show_full_result_count = self.show_admin_actions = self.can_show_all = self.multi_page = False
        self.paginator = None


def after(events: Events, *, place: tuple[datetime, int]) -> Events:
    """What comes after this place in ORDER. `at` stands by itself too, so that an index's range begins there."""
    at, number = place
    return events.filter(Q(at__lt=at) | Q(at=at, id__lt=number), at__lte=at)


def place_of(event: AuditEvent) -> str:
    return f"{event.at.isoformat()}_{event.pk}"


def parsed(text: str) -> tuple[datetime, int]:
    at, _, number = text.partition("_")
    try:
        instant, pk = datetime.fromisoformat(at), int(number)
    except ValueError:
        raise BadRequest("no place in the audit log") from None
    if instant.tzinfo is None or not 0 <= pk < 2**63:
        raise BadRequest("no place in the audit log")
    return instant, pk


def name_people(rows: list[AuditEvent]) -> None:
    """Give each row `names`, which has the user name of its actor and its target where they are users: one query for the page."""
    ids = {each for row in rows for each in (row.actor_id, as_uuid(row.target)) if each is not None}
    names = dict(User.objects.filter(pk__in=ids).order_by().values_list("pk", "username")) if ids else {}
    for row in rows:
        row.names = {each: names[each] for each in (row.actor_id, as_uuid(row.target)) if each in names}  # type: ignore[attr-defined]


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
