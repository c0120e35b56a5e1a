"""What is locked now, for staff who help somebody in."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import components, lockout, user_locks, users
from accounts.actors import actor_of
from accounts.bounded_paginator import BoundedPaginator
from accounts.careful_admin import MOST_AT_ONCE, ReadOnlyAdmin, ReasonForm
from accounts.confirm_page import confirmation
from accounts.lockout_filters import AddressFilter, NowFilter
from accounts.models import LoginCounter, User
from accounts.recent_sign_in import requires_recent_sign_in

NOBODY = _("a name that is nobody's")
LIST = "admin:accounts_logincounter_changelist"


class LockoutAdmin(ReadOnlyAdmin):
    """The lanes that are locked. The digests of the names are on no page."""

    list_display = ("name", "from_where", "failed", "locked_at", "opens_at")
    fields = ("name", "from_where", "failed", "locked_at", "opens_at", "last_success_at")
    readonly_fields = ("name", "from_where", "failed", "locked_at", "opens_at")
    list_title = _("Lockouts")
    empty_text = _("Nobody is locked out now. Who fails too often is locked for a while, and stands here until it opens by itself.")
    list_filter = (NowFilter, AddressFilter)
    show_full_result_count = False
    paginator = BoundedPaginator
    search_fields = ("source__startswith",)
    search_help_text = _("A user's id, or an address.")
    uuid_search_fields = ("user_id",)
    ordering = ("-locked_until", "-pk")
    actions = ("lift",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        usernames = User.objects.filter(pk=OuterRef("user_id")).values("username")[:1]
        ever = LoginCounter.objects.filter(locked_until__isnull=False)
        return ever.annotate(username=Subquery(usernames)).order_by(*self.ordering)

    def get_list_display(self, request: HttpRequest) -> Any:
        may_unlock = self.has_unlock_permission(request)

        @admin.display(description="")
        def acts(counter: Any) -> SafeString:
            if not may_unlock:
                return SafeString("<span></span>")  # an empty text would be shown as a dash
            url, hidden = reverse("admin:accounts_logincounter_unlock", args=(counter.pk,)), self.name(counter)
            template = '<a class="button button--small" href="{}">{}<span class="visually-hidden"> {}</span></a>'
            return format_html(template, url, gettext("Unlock…"), hidden)

        return (*self.list_display, acts)

    # --- Columns ---

    @admin.display(description=_("name"))
    def name(self, counter: Any) -> str:
        return counter.username or str(NOBODY)

    @admin.display(description=_("locked for"))
    def from_where(self, counter: LoginCounter) -> str:
        return str(user_locks.source_in_words(counter.source))

    @admin.display(description=_("failures in 30 days"))
    def failed(self, counter: LoginCounter) -> int:
        return counter.lane_failures

    @admin.display(description=_("locked at"), ordering="locked_until")
    def locked_at(self, counter: LoginCounter) -> SafeString:
        return components.when(user_locks.lock_of(counter).locked_at)

    @admin.display(description=_("opens at"), ordering="locked_until")
    def opens_at(self, counter: LoginCounter) -> SafeString:
        return components.when(counter.locked_until)

    # --- Acts ---

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.unlock_user")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("unlock-address/", wrap(self.unlock_address), name="accounts_logincounter_unlock_address"),
            path("<path:object_id>/unlock/", wrap(self.unlock), name="accounts_logincounter_unlock"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may_unlock, address = self.has_unlock_permission(request), request.GET.get("address", "")
        return super().changelist_view(request, {**(extra_context or {}), "unlock_address": address if may_unlock else ""})

    def ensure_may_unlock(self, request: HttpRequest) -> None:
        # SECURITY: to lift a lock is a permission of its own.
        if not (self.has_unlock_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied

    def unlock(self, request: HttpRequest, object_id: str) -> HttpResponse:
        self.ensure_may_unlock(request)
        counter = self.get_object(request, object_id)
        if counter is None:
            raise Http404
        # SECURITY: or support lets who guesses at an owner's password go on.
        if _of_staff(request, [counter]):
            raise PermissionDenied
        return self.lifted(request, [counter], title=gettext("Unlock") + f": {self.name(counter)}")

    def unlock_address(self, request: HttpRequest) -> HttpResponse:
        """Every name that is locked for this address; those of staff stay locked unless the owner asks."""
        self.ensure_may_unlock(request)
        address = request.GET.get("address", "")
        found = [*self.get_queryset(request).filter(pk__in=LoginCounter.objects.locked(), source=address)[:MOST_AT_ONCE]]
        kept = _of_staff(request, found)
        rows = [row for row in found if row.user_id not in kept]
        return self.lifted(request, rows, title=gettext("Unlock all from %(address)s") % {"address": address}, kept=len(kept))

    @requires_recent_sign_in
    def lifted(self, request: HttpRequest, rows: list[Any], *, title: str, kept: int = 0) -> HttpResponse:
        if not rows:
            self.message_user(request, gettext("Nothing is locked there that you may unlock."), messages.WARNING)
            return HttpResponseRedirect(reverse(LIST))
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self.asked(request, rows, form=form, title=title, kept=kept)
        self.lift_all(request, rows, reason=form.cleaned_data["reason"])
        return HttpResponseRedirect(reverse(LIST))

    def asked(self, request: HttpRequest, rows: list[Any], *, form: ReasonForm, title: str, kept: int) -> TemplateResponse:
        staff = ngettext("The lock of %(count)d member of staff stays: an owner lifts it.", "The locks of %(count)d members of staff stay: an owner lifts them.", kept)  # fmt: skip # noqa: E501 - one sentence
        return confirmation(
            request,
            site=self.admin_site,
            title=title,
            form=form,
            will=[*names_of(self, rows), *_what_happens()],
            will_not=[gettext("Passwords and sessions stay as they are."), *([staff % {"count": kept}] if kept else [])],
            button=gettext("Unlock"),
            is_dangerous=False,
            cancel_url=reverse(LIST),
            back_to=gettext("Lockouts"),
        )

    def lift_all(self, request: HttpRequest, rows: Sequence[Any], *, reason: str) -> None:
        names, actor = {bytes(counter.digest): counter.user_id for counter in rows}, actor_of(request)
        lifted = sum(lockout.unlock_name(digest, user_id=user_id, actor=actor, reason=reason) for digest, user_id in names.items())
        self.message_user(request, gettext("Locks lifted: %(count)d.") % {"count": lifted}, messages.SUCCESS)

    @admin.action(description=_("Lift these locks…"), permissions=["unlock"])
    @requires_recent_sign_in
    def lift(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        chosen = self.chosen(request, queryset)
        if _of_staff(request, chosen):
            self.message_user(request, gettext("Only a superuser may do this to staff. Nothing was done."), messages.ERROR)
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not chosen:
            return None
        if not form.is_valid():
            return self.confirmation(
                request,
                action="lift",
                title=gettext("Lift these locks"),
                form=form,
                rows=chosen,
                lines=names_of(self, chosen),
                notes=_what_happens(),
            )
        self.lift_all(request, chosen, reason=form.cleaned_data["reason"])
        return None


def names_of(pages: LockoutAdmin, rows: Sequence[Any]) -> list[str]:
    return sorted({pages.name(counter) for counter in rows})


def _what_happens() -> list[str]:
    return [gettext("Every lock of these names is lifted, for all sources, and their failures are forgotten.")]


def _of_staff(request: HttpRequest, rows: Sequence[Any]) -> set[Any]:
    """Whose locks among these the person at the browser may not lift."""
    assert isinstance(request.user, User)  # noqa: S101 - for the type checker
    owners = User.objects.in_bulk({counter.user_id for counter in rows if counter.user_id})
    return {owner.pk for owner in owners.values() if not users.may_touch(request.user, owner)}
