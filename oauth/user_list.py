"""The list of users: what each row says, and the filters above it. What is counted has a limit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Exists, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import components
from accounts.clock import Instant
from accounts.models import LoginCounter, User
from oauth.models import Session
from oauth.user_acts import ACTS, MOST_COUNTED

# What stands in a row, in fewer words than on the page.
IN_A_ROW = {"unlock": _("Unlock…"), "send-password-reset": _("Send reset…"), "sign-out-everywhere": _("Sign out…")}


class CountUpTo(Subquery):
    """How many rows there are, at most as many as the slice of the query lets through."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS bounded)"
    output_field = IntegerField()


def annotated(rows: QuerySet[User]) -> QuerySet[User]:
    """Each user with `is_locked`, `live_sessions` and `second_factor_enrolled`, in the same statement."""
    locks = LoginCounter.objects.locked().filter(user_id=OuterRef("pk"))
    live = Session.objects.live().filter(user=OuterRef("pk")).order_by().values("pk")[: MOST_COUNTED + 1]
    found: QuerySet[User] = rows.with_second_factor().annotate(is_locked=Exists(locks), live_sessions=CountUpTo(live))  # type: ignore[attr-defined] # of UserQuerySet
    return found


def state_pill(user: Any) -> SafeString:
    if not user.is_active:
        return components.pill(gettext("Disabled"), "quiet")
    return components.pill(gettext("Locked"), "bad") if user.is_locked else components.pill(gettext("Active"), "ok")


def sessions_in_short(user: Any) -> str:
    return f"{MOST_COUNTED}+" if user.live_sessions > MOST_COUNTED else str(user.live_sessions)


def acts_column(request: HttpRequest, *, may: Callable[[HttpRequest, User], bool]) -> Callable[[Any], SafeString]:
    """The buttons of a row: what there is to do, and this person may."""
    offered = [act for act in ACTS if act.slug in IN_A_ROW and request.user.has_perm(act.permission)]

    @admin.display(description="")
    def acts(user: Any) -> SafeString:
        if not may(request, user):
            return SafeString('<div class="row-acts"></div>')  # an empty text would be shown as a dash
        useful = {"unlock": user.is_locked, "send-password-reset": user.is_active and user.email, "sign-out-everywhere": user.live_sessions}
        links = (
            (reverse(f"admin:{act.url_name}", args=(user.pk,)), IN_A_ROW[act.slug], user.username) for act in offered if useful[act.slug]
        )
        template = '<a class="button button--small" href="{}">{}<span class="visually-hidden"> {}</span></a>'
        return format_html('<div class="row-acts">{}</div>', format_html_join(" ", template, links))

    return acts


class Filter(admin.SimpleListFilter):
    """By the words of `choices`; any other word is no filter."""

    choices_of: tuple[tuple[str, Any], ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[tuple[str, Any], ...]:
        return self.choices_of


class StateFilter(Filter):
    title = _("state")
    parameter_name = "state"
    choices_of = (("active", _("Active")), ("locked", _("Locked")), ("disabled", _("Disabled")))

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        locked = LoginCounter.objects.locked().filter(user_id__isnull=False).values("user_id")
        narrowed = {"active": Q(is_active=True), "locked": Q(is_active=True, pk__in=locked), "disabled": Q(is_active=False)}
        return queryset.filter(narrowed.get(self.value() or "", Q()))


class TwoStepFilter(Filter):
    title = _("two-step")
    parameter_name = "two_step"
    choices_of = (("yes", _("on")), ("no", _("off")))

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        wanted = {"yes": True, "no": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(Q(("second_factor_enrolled", wanted)))


class LastSignInFilter(Filter):
    title = _("last sign-in")
    parameter_name = "signed_in"
    choices_of = (
        ("day", _("within a day")),
        ("week", _("within a week")),
        ("month", _("within a month")),
        ("longer", _("longer ago than a month")),
        ("never", _("never")),
    )

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        days = {"day": 1, "week": 7, "month": 30}.get(self.value() or "")
        if days is not None:
            return queryset.filter(last_sign_in_at__gte=Instant(plus=-timedelta(days=days)))
        longer = Q(last_sign_in_at__lt=Instant(plus=-timedelta(days=30)))
        narrowed = {"longer": longer, "never": Q(last_sign_in_at__isnull=True)}
        return queryset.filter(narrowed.get(self.value() or "", Q()))
