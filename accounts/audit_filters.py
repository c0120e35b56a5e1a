"""The filters of the audit log: each narrows by an index, and none asks the table what there is to choose."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import audit, audit_search
from accounts.models import AuditEvent

Events = QuerySet[AuditEvent]

SUBJECTS = {
    "user": _("Users"),
    "users": _("Many users at once"),
    "network": _("Networks"),
    "session": _("Sessions"),
    "client": _("Clients"),
    "signing_key": _("Signing keys"),
    "role": _("User roles"),
    "group": _("Roles of staff"),
    "audit": _("Audit log"),
}


class EventFilter(admin.SimpleListFilter):
    """One event, or all of a subject: `user:`."""

    title = _("Event")
    parameter_name = "event"
    template = "admin/filter_grouped.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        subjects = [*SUBJECTS, *sorted({event.partition(":")[0] for event in audit.EVENTS} - {*SUBJECTS})]
        return [choice for subject in subjects for choice in _of_subject(subject)]

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return audit_search.of_event(queryset, self.value() or "")

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice, (value, _label) in zip(super().choices(changelist), [("", ""), *self.lookup_choices], strict=True):
            yield choice | {"is_group": value.endswith(":")}


class OutcomeFilter(admin.SimpleListFilter):
    """The last word of an event."""

    title = _("Outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(outcome, outcome.replace("_", " ")) for outcome in audit_search.OUTCOMES]

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return audit_search.of_outcome(queryset, self.value() or "")


class WhenFilter(admin.SimpleListFilter):
    """Always bounded: seven days unless another time is chosen."""

    title = _("When")
    parameter_name = "when"
    windows = {
        "hour": _("Last hour"),
        "day": _("Last 24 hours"),
        "": _("Last 7 days"),
        "month": _("Last 30 days"),
        "year": _("Last 365 days"),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*self.windows.items()]

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return audit_search.within(queryset, self.value() or "")

    def choices(self, changelist: Any) -> Iterator[Any]:
        chosen = self.value() if self.value() in self.windows else ""
        for name, label in self.windows.items():
            url = (
                changelist.get_query_string({self.parameter_name: name})
                if name
                else changelist.get_query_string(remove=[self.parameter_name])
            )
            yield {"selected": name == (chosen or ""), "query_string": url, "display": label, "is_default": not name}


class AddressFilter(admin.ListFilter):
    """An address as it is typed, for there are too many to choose from."""

    title = _("Address")
    template = "admin/filter_text.html"
    parameter_name = "address"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        values = params.pop(self.parameter_name, None)
        self.typed = str(values[-1]).strip()[:60] if values else ""
        if self.typed:
            self.used_parameters[self.parameter_name] = self.typed

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name]

    def queryset(self, request: HttpRequest, queryset: Events) -> Events:
        return audit_search.at_address(queryset, self.typed)

    def choices(self, changelist: Any) -> Iterator[Any]:
        others = {name: values for name, values in changelist.filter_params.items() if name != self.parameter_name}
        kept = [(name, value) for name, values in others.items() for value in values]
        yield {"typed": self.typed, "kept": kept, "query_string": changelist.get_query_string(remove=[self.parameter_name])}


def _of_subject(subject: str) -> list[tuple[str, Any]]:
    events = [event for event in sorted(audit.EVENTS) if event.startswith(f"{subject}:")]
    return [(f"{subject}:", SUBJECTS.get(subject, subject)), *((event, event) for event in events)] if events else []
