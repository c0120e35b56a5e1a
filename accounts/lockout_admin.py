"""What is locked now, for staff who help somebody in."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse

from accounts import lockout, users
from accounts.actors import actor_of
from accounts.careful_admin import ReadOnlyAdmin, ReasonForm
from accounts.login_lanes import EVERYWHERE
from accounts.models import LoginCounter, User

NOBODY = "a name that is nobody's"


class LockoutAdmin(ReadOnlyAdmin):
    """The lanes that are locked. The digests of the names are on no page."""

    list_display = ("name", "from_where", "locked_until", "last_success_at")
    fields = ("name", "from_where", "locked_until", "last_success_at", "lane_failures")
    readonly_fields = ("name", "from_where")
    show_full_result_count = False
    search_fields = ("source__startswith",)
    search_help_text = "A user's id, or an address."
    uuid_search_fields = ("user_id",)
    ordering = ("-locked_until", "-pk")
    actions = ("lift",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        usernames = User.objects.filter(pk=OuterRef("user_id")).values("username")[:1]
        return LoginCounter.objects.locked().annotate(username=Subquery(usernames)).order_by(*self.ordering)

    @admin.display(description="name")
    def name(self, counter: Any) -> str:
        return counter.username or NOBODY

    @admin.display(description="locked for")
    def from_where(self, counter: LoginCounter) -> str:
        return "every source that is not known" if counter.source == EVERYWHERE else counter.source or "an unknown address"

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.unlock_user")

    @admin.action(description="Lift these locks…", permissions=["unlock"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        chosen = self.chosen(request, queryset)
        owners = User.objects.in_bulk({counter.user_id for counter in chosen if counter.user_id})
        assert isinstance(request.user, User)  # noqa: S101 - for the type checker
        if not all(users.may_touch(request.user, owner) for owner in owners.values()):
            self.message_user(request, "Only a superuser may do this to staff. Nothing was done.", "error")
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not chosen:
            return None
        if not form.is_valid():
            return self.confirmation(
                request,
                action="lift",
                title="Lift these locks",
                form=form,
                rows=chosen,
                lines=sorted({self.name(counter) for counter in chosen}),
                notes=("Every lock of these names is lifted, for all sources, and their failures are forgotten.",),
            )
        reason, actor = form.cleaned_data["reason"], actor_of(request)
        names = {bytes(counter.digest): counter.user_id for counter in chosen}
        lifted = sum(lockout.unlock_name(digest, user_id=user_id, actor=actor, reason=reason) for digest, user_id in names.items())
        self.message_user(request, f"Locks lifted: {lifted}.", "success")
        return None
