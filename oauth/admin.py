"""Staff's view of clients, sessions and signing keys. No secret, digest or private key is in any field of a page."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from oauth2_provider import admin as toolkit_admin
from oauth2_provider.models import get_access_token_model, get_grant_model, get_id_token_model, get_refresh_token_model

from accounts import admin as accounts_admin
from accounts import users
from accounts.actors import actor_of
from accounts.careful_admin import CarefulAdmin, Changes, ReadOnlyAdmin, ReasonForm
from accounts.clock import Instant
from accounts.models import User
from oauth import clients, sessions
from oauth.models import GRANT_TYPE_CHOICES, Client, Session, SigningKey

# The toolkit's page for clients shows and edits the secret; its token rows are never written, and their pages would promise otherwise.
for _model in (
    toolkit_admin.application_model,
    get_access_token_model(),
    get_grant_model(),
    get_id_token_model(),
    get_refresh_token_model(),
):
    admin.site.unregister(_model)


@admin.register(User)
class UserAdmin(accounts_admin.UserAdmin):
    """People, and the end of all their sessions at once."""

    actions = ("sign_out_everywhere",)

    def has_sign_out_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.sign_out_user")

    @admin.action(description="Sign out everywhere…", permissions=["sign_out"])
    def sign_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        chosen: list[User] = self.chosen(request, queryset)
        if not chosen or _are_staff_alone_for_superusers(self, request, chosen):
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            live = Counter(dict(Session.objects.live().filter(user__in=chosen).values_list("user_id").annotate(Count("pk"))))
            return self.confirmation(
                request,
                action="sign_out_everywhere",
                title="Sign out everywhere",
                form=form,
                rows=chosen,
                lines=[f"{user}: {_counted(live[user.pk], 'live session')}" for user in chosen],
                notes=("Sessions of the admin's pages end too.", *_what_goes_on()),
            )
        for user in chosen:
            users.sign_out_everywhere(user, actor=actor_of(request), reason=form.cleaned_data["reason"])
        self.message_user(request, f"Signed out everywhere: {_counted(len(chosen), 'user')}.", "success")
        return None


class ClientForm(forms.ModelForm[Client]):
    grant_types = forms.MultipleChoiceField(
        choices=[(grant_type, grant_type) for grant_type in GRANT_TYPE_CHOICES],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="What it may ask for tokens with.",
    )


@admin.register(Client)
class ClientAdmin(CarefulAdmin):
    audited_as = "client:registration"
    form = ClientForm
    list_display = ("name", "client_id", "client_type", "is_active", "created")
    list_filter = ("client_type", "is_active")
    search_fields = ("name", "client_id")
    readonly_fields = ("client_id", "client_type", "secret_created_at", "previous_secret_expires_at", "created", "updated")
    fieldsets = (
        (None, {"fields": ("name", "client_id", "client_type", "is_active")}),
        ("What it may do", {"fields": ("grant_types", "allowed_scopes", "default_scopes", "may_introspect", "served_audiences")}),
        ("Tokens", {"fields": ("audience", "access_token_lifetime", "refresh_token_lifetime", "refresh_overlap_seconds")}),
        ("Secret", {"fields": ("secret_created_at", "previous_secret_expires_at")}),
        ("History", {"fields": ("created", "updated")}),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Client | None = None) -> bool:
        """Disable it instead: what it did stays known by its name, and the name is given to no other."""
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """manage.py create_client makes one: its secret is shown once, which this form cannot do."""
        return False

    def audited(self, obj: Client) -> dict[str, Any]:
        return {"client_id": obj.client_id}

    def record(self, request: HttpRequest, obj: Client, outcome: str, changes: Changes) -> None:
        if "is_active" in changes:
            outcome = "enabled" if obj.is_active else "disabled"
        super().record(request, obj, outcome, changes)
        transaction.on_commit(clients.cache.forget)


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
        if _are_staff_alone_for_superusers(self, request, [session.user for session in chosen]):
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
                lines=[f"{user}: {_counted(count, 'session')}" for user, count in sorted(of.items())],
                notes=_what_goes_on(),
            )
        reason, actor = form.cleaned_data["reason"], actor_of(request)
        ended = sum(sessions.end(session, actor=actor, reason=reason) for session in chosen)
        self.message_user(request, f"Ended: {_counted(ended, 'session')}.", "success")
        return None


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    list_display = ("kid", "algorithm", "published_at", "signs_from", "signs_until", "removed_at", "revoked_at")
    fields = (
        "kid",
        "sequence",
        "algorithm",
        "public_jwk",
        "created_at",
        "published_at",
        "signs_from",
        "signs_until",
        "removed_at",
        "revoked_at",
        "revoked_reason",
    )


def _are_staff_alone_for_superusers(pages: CarefulAdmin, request: HttpRequest, people: Sequence[User]) -> bool:
    """Whether somebody is among them whom the person at the browser may not touch; that is told them, and nothing done."""
    assert isinstance(request.user, User)  # noqa: S101 - for the type checker
    out_of_reach = sorted({str(user) for user in people if not users.may_touch(request.user, user)})
    if out_of_reach:
        pages.message_user(request, f"Only a superuser may do this to staff: {', '.join(out_of_reach)}. Nothing was done.", "error")
    return bool(out_of_reach)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _what_goes_on() -> tuple[str, ...]:
    minutes = int(settings.ACCESS_TOKEN_LIFETIME.total_seconds() / 60)
    return (
        "This server refuses their tokens at the next request. A service that verifies access tokens by itself "
        f"goes on taking those that are out until they expire, after {minutes} minutes at most.",
    )
