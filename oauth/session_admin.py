"""Staff's pages of sessions: to look at, and to revoke."""

from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import components, devices, users
from accounts.actors import actor_of
from accounts.bounded_paginator import BoundedPaginator
from accounts.careful_admin import ReadOnlyAdmin, ReasonForm
from accounts.clock import Instant
from accounts.confirm_page import confirmation
from accounts.models import User
from accounts.recent_sign_in import requires_recent_sign_in
from oauth import sessions
from oauth.admin_acts import are_staff_alone_for_superusers, what_goes_on
from oauth.models import Session
from oauth.sessions import ENDED_THERE, REUSED


class StateFilter(admin.SimpleListFilter):
    title, parameter_name = _("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*STATE_NAMES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        codes = [code for code, (state, _) in STATES.items() if state == self.value()]
        return queryset.filter(Q(("state_code__in", codes))) if codes else queryset


class ReuseFilter(admin.SimpleListFilter):
    """Sessions that ended because a refresh token was used twice: perhaps a thief's doing."""

    title, parameter_name = _("reuse detected"), "reused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        return queryset.filter(revoked_reason=REUSED) if self.value() == "yes" else queryset


STATE_NAMES = {"live": _("live"), "ended": _("ended"), "expired": _("expired")}
TONES: dict[str, components.Tone] = {"live": "ok", "ended": "quiet", "expired": "quiet"}
# What `state_code` says of a session: its state, and why.
STATES: dict[str, tuple[str, Any]] = {
    "live": ("live", ""),
    "revoked": ("ended", ""),
    "signed out": ("ended", _("signed out everywhere, or another password")),
    "expired": ("expired", ""),
    "user disabled": ("ended", _("the user is disabled")),
    "client disabled": ("ended", _("the client is disabled")),
}
# Why a session was revoked, as it is stored and in words.
REASONS = {
    REUSED: _("refresh token reused"),
    "ended_by_staff": _("ended by staff"),
    "ended_by_user": _("ended by the user"),
    "revoked_by_client": _("revoked by the client"),
    ENDED_THERE: _("ended at the older service"),
}
# What could be used now, or would be again when user and client are enabled.
USABLE = ("live", "user disabled", "client disabled")


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    list_display = ("user", "client", "device", "address", "last_used", "refreshes", "state_pill")
    paginator = BoundedPaginator
    empty_text = _("Nobody has signed in to an application yet.")
    list_select_related = ("user", "client")
    show_full_result_count = False
    list_filter = (StateFilter, "client", ReuseFilter)
    search_fields = ("user__username_canonical", "user__email_canonical")
    search_help_text = _("A user name, an e-mail address, or the id of a session or user.")
    uuid_search_fields = ("id", "user_id")
    fields = (
        "id", "user", "client", "state", "scope", "amr", "device", "address", "user_agent",
        "created_at", "refreshed_at", "generation", "expires_at", "ends_at", "revoked_at", "revoked_reason",
    )  # fmt: skip
    readonly_fields = ("state", "device")
    actions = ("end_sessions",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        """With `state_code`, by the database's clock, in the same statement."""
        state = Case(
            When(revoked_at__isnull=False, then=Value("revoked")),
            When(~Q(user__session_epoch=F("user_epoch")), then=Value("signed out")),
            When(expires_at__lte=Instant(), then=Value("expired")),
            When(user__is_active=False, then=Value("user disabled")),
            When(client__is_active=False, then=Value("client disabled")),
            default=Value("live"),
        )
        rows: QuerySet[Session] = super().get_queryset(request)
        return rows.annotate(state_code=state)

    def get_list_display(self, request: HttpRequest) -> Any:
        may_revoke = self.has_revoke_permission(request)

        @admin.display(description="")
        def acts(session: Any) -> SafeString:
            if not may_revoke or session.state_code not in USABLE or not _is_within_reach(request, session):
                return SafeString("<span></span>")  # an empty text would be shown as a dash
            url, text = reverse("admin:oauth_session_revoke", args=(session.pk,)), gettext("Revoke…")
            hidden = format_html('<span class="visually-hidden"> {}</span>', session.user)
            return format_html('<a class="button button--small" href="{}">{}{}</a>', url, text, hidden)

        return (*self.list_display, acts)

    # --- Columns ---

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, session: Any) -> str:
        state, why = STATES[session.state_code]
        why = why or REASONS.get(session.revoked_reason, session.revoked_reason.replace("_", " "))
        return f"{STATE_NAMES[state]}: {why}" if why else str(STATE_NAMES[state])

    @admin.display(description=_("state"), ordering="state_code")
    def state_pill(self, session: Any) -> SafeString:
        return components.pill(self.state(session), "bad" if session.revoked_reason == REUSED else TONES[STATES[session.state_code][0]])

    @admin.display(description=_("device"))
    def device(self, session: Session) -> str:
        return devices.in_words(session.user_agent)

    @admin.display(description=_("last used"), ordering="refreshed_at")
    def last_used(self, session: Session) -> SafeString:
        return components.when(session.refreshed_at)

    @admin.display(description=_("refreshes"), ordering="generation")
    def refreshes(self, session: Session) -> int:
        return session.generation

    # --- Acts ---

    def get_urls(self) -> list[URLPattern]:
        own = path("<path:object_id>/revoke/", self.admin_site.admin_view(self.revoke), name="oauth_session_revoke")
        return [own, *super().get_urls()]

    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Who may do this, and to whom, before anything is asked."""
        session = self.get_object(request, object_id)
        # SECURITY: by its own permission, and sessions of staff by superusers alone.
        if not (self.has_revoke_permission(request) and self.has_view_permission(request, session)):
            raise PermissionDenied
        if session is None:
            raise Http404
        if not _is_within_reach(request, session):
            raise PermissionDenied
        return self.confirmed(request, session)

    @requires_recent_sign_in
    def confirmed(self, request: HttpRequest, session: Any) -> HttpResponse:
        back = reverse("admin:accounts_user_change", args=(session.user_id,))
        if not request.user.has_perm("accounts.view_user"):
            back = reverse("admin:oauth_session_changelist")
        if session.state_code not in USABLE:
            self.message_user(request, gettext("This session is over already."), messages.WARNING)
            return HttpResponseRedirect(back)
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            names = {"user": session.user, "client": session.client.name, "device": self.device(session)}
            return confirmation(
                request,
                site=self.admin_site,
                title=gettext("Revoke the session of %(user)s") % names,
                form=form,
                will=(gettext("%(user)s is signed out of %(client)s on this device: %(device)s.") % names, *what_goes_on()),
                will_not=(gettext("Other sessions go on, and the password stays: they can sign in again."),),
                button=gettext("Revoke"),
                cancel_url=back,
            )
        if sessions.end(session, actor=actor_of(request), reason=form.cleaned_data["reason"]):
            self.message_user(request, gettext("The session is revoked."), messages.SUCCESS)
        return HttpResponseRedirect(back)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("oauth.revoke_session")

    @admin.action(description=_("Revoke these sessions…"), permissions=["revoke"])
    @requires_recent_sign_in
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        chosen = [session for session in self.chosen(request, queryset) if session.state_code in USABLE]
        if not chosen:
            self.message_user(request, gettext("None of the chosen sessions can be ended: they are over."), "warning")
            return None
        if are_staff_alone_for_superusers(self, request, [session.user for session in chosen]):
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            of = Counter(str(session.user) for session in chosen)
            return self.confirmation(
                request,
                action="end_sessions",
                title=gettext("Revoke these sessions"),
                form=form,
                rows=chosen,
                lines=[f"{user}: {_counted(count)}" for user, count in sorted(of.items())],
                notes=what_goes_on(),
            )
        reason, actor = form.cleaned_data["reason"], actor_of(request)
        ended = sum(sessions.end(session, actor=actor, reason=reason) for session in chosen)
        self.message_user(request, ngettext("Ended: %(count)s session.", "Ended: %(count)s sessions.", ended) % {"count": ended}, "success")
        return None


def _counted(count: int) -> str:
    return ngettext("%(count)d session", "%(count)d sessions", count) % {"count": count}


def _is_within_reach(request: HttpRequest, session: Session) -> bool:
    assert isinstance(request.user, User)  # noqa: S101 - for the type checker
    return users.may_touch(request.user, session.user)
