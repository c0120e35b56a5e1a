"""Staff's pages of users, with their sessions."""

from collections import Counter

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse

from accounts import admin as accounts_admin
from accounts import users
from accounts.actors import actor_of
from accounts.careful_admin import ReasonForm
from accounts.models import User
from oauth.admin_acts import are_staff_alone_for_superusers, counted, what_goes_on
from oauth.models import Session


@admin.register(User)
class UserAdmin(accounts_admin.UserAdmin):
    """People, and the end of all their sessions at once."""

    actions = ("sign_out_everywhere",)

    def has_sign_out_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.sign_out_user")

    @admin.action(description="Sign out everywhere…", permissions=["sign_out"])
    def sign_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        chosen: list[User] = self.chosen(request, queryset)
        if not chosen or are_staff_alone_for_superusers(self, request, chosen):
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
                lines=[f"{user}: {counted(live[user.pk], 'live session')}" for user in chosen],
                notes=("Sessions of the admin's pages end too.", *what_goes_on()),
            )
        for user in chosen:
            users.sign_out_everywhere(user, actor=actor_of(request), reason=form.cleaned_data["reason"])
        self.message_user(request, f"Signed out everywhere: {counted(len(chosen), 'user')}.", "success")
        return None
