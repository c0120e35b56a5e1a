"""The filters above the list of lockouts: what is locked now unless asked otherwise, and from which address."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.clock import SteadyInstant
from accounts.login_lanes import EVERYWHERE
from accounts.models import LoginCounter

MOST_READ, MOST_OFFERED = 1000, 10


class NowFilter(admin.SimpleListFilter):
    """Locked now is the choice that no word stands for: the list opens with it."""

    title, parameter_name = _("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("over", _("opened by itself"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("locked now")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[LoginCounter]) -> QuerySet[LoginCounter]:
        if self.value() == "over":
            return queryset.filter(locked_until__lte=SteadyInstant())
        return queryset.filter(locked_until__gt=SteadyInstant())


class AddressFilter(admin.SimpleListFilter):
    """Offers the addresses that lock the most names now, of the first thousand locks; takes any."""

    title, parameter_name = _("address"), "address"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = LoginCounter.objects.locked().exclude(source__in=("", EVERYWHERE)).values_list("source", flat=True)[:MOST_READ]
        offered = [source for source, _count in Counter(rows).most_common(MOST_OFFERED)]
        chosen = request.GET.get(self.parameter_name, "")
        return [(source, source) for source in dict.fromkeys([*offered, *([chosen] if chosen else [])])]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[LoginCounter]) -> QuerySet[LoginCounter]:
        return queryset.filter(source=self.value()) if self.value() else queryset
