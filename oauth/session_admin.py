"""Staff's pages of sessions: to look at, and to end."""

from collections import Counter
from typing import Any

from django.contrib import admin
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse

from accounts.actors import actor_of
from accounts.careful_admin import ReadOnlyAdmin, ReasonForm
from accounts.clock import Instant
from oauth import sessions
from oauth.admin_acts import are_staff_alone_for_superusers, counted, what_goes_on
from oauth.models import Session


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in dict.fromkeys(state for state, _ in STATES.values())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        codes = [code for code, (state, _) in STATES.items() if state == self.value()]
        return queryset.filter(Q(("state_code__in", codes))) if codes else queryset


# What `state_code` says of a session: its state, and why.
STATES = {
    "live": ("live", ""),
    "revoked": ("ended", ""),
    "signed out": ("ended", "signed out everywhere, or another password"),
    "expired": ("expired", ""),
    "user disabled": ("ended", "the user is disabled"),
    "client disabled": ("ended", "the client is disabled"),
}
# What could be used now, or would be again when user and client are enabled.
USABLE = ("live", "user disabled", "client disabled")


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    list_display = ("id", "user", "client", "state", "address", "refreshed_at", "generation")
    list_select_related = ("user", "client")
    show_full_result_count = False
    list_filter = (StateFilter, "client")
    search_fields = ("user__username_canonical", "user__email_canonical")
    search_help_text = "A user name, an e-mail address, or the id of a session or user."
    uuid_search_fields = ("id", "user_id")
    fields = (
        "id", "user", "client", "state", "scope", "amr", "address", "user_agent",
        "created_at", "refreshed_at", "generation", "expires_at", "ends_at", "revoked_at", "revoked_reason",
    )  # fmt: skip
    readonly_fields = ("state",)
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

    @admin.display(ordering="state_code")
    def state(self, session: Any) -> str:
        state, why = STATES[session.state_code]
        why = why or session.revoked_reason.replace("_", " ")
        return f"{state}: {why}" if why else state

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("oauth.revoke_session")

    @admin.action(description="End these sessions…", permissions=["revoke"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        chosen = [session for session in self.chosen(request, queryset) if session.state_code in USABLE]
        if not chosen:
            self.message_user(request, "None of the chosen sessions can be ended: they are over.", "warning")
            return None
        if are_staff_alone_for_superusers(self, request, [session.user for session in chosen]):
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            of = Counter(str(session.user) for session in chosen)
            return self.confirmation(
                request,
                action="end_sessions",
                title="End these sessions",
                form=form,
                rows=chosen,
                lines=[f"{user}: {counted(count, 'session')}" for user, count in sorted(of.items())],
                notes=what_goes_on(),
            )
        reason, actor = form.cleaned_data["reason"], actor_of(request)
        ended = sum(sessions.end(session, actor=actor, reason=reason) for session in chosen)
        self.message_user(request, f"Ended: {counted(ended, 'session')}.", "success")
        return None
