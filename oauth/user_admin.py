"""Staff's pages of users, with their sessions and what may be done to them."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import admin as accounts_admin
from accounts import components, languages, users
from accounts.actors import actor_of
from accounts.bounded_paginator import BoundedPaginator
from accounts.careful_admin import ReasonForm
from accounts.confirm_page import confirmation
from accounts.models import User
from accounts.recent_sign_in import requires_recent_sign_in
from oauth import user_list, user_page
from oauth.user_acts import ACTS, Act
from oauth.user_bulk_acts import UserBulkActs


@admin.register(User)
class UserAdmin(UserBulkActs, accounts_admin.UserAdmin):
    """People, what is known of them, and what staff do to them."""

    list_display = ("username", "email", "name", "state", "two_step", "sessions", "last_sign_in")
    list_filter = (
        *(user_list.StateFilter, user_list.TwoStepFilter, "awaits_confirmation", "is_staff"),
        *(user_list.LastSignInFilter, "roles"),
    )
    ordering = ("username_canonical",)
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = UserBulkActs.actions

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return user_list.annotated(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*self.list_display, user_list.acts_column(request, may=self.is_within_reach))

    def is_within_reach(self, request: HttpRequest, user: User) -> bool:
        assert isinstance(request.user, User)  # noqa: S101 - for the type checker
        return users.may_touch(request.user, user)

    # --- Columns ---

    @admin.display(description=_("state"))
    def state(self, user: User) -> str:
        return user_list.state_pill(user)

    @admin.display(description=_("two-step"))
    def two_step(self, user: User) -> str:
        return components.pill(gettext("on"), "ok") if user.has_second_factor else components.pill(gettext("off"), "quiet")

    @admin.display(description=_("sessions"))
    def sessions(self, user: User) -> str:
        return user_list.sessions_in_short(user)

    @admin.display(description=_("last sign-in"), ordering="last_sign_in_at")
    def last_sign_in(self, user: User) -> str:
        return components.when(user.last_sign_in_at, nothing=gettext("never"))

    # --- The page of one user ---

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        user = kwargs.get("obj")
        extra = {} if user is None else user_page.panels(request, user)
        return super().render_change_form(request, {**context, **extra}, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        own = [path(f"<path:object_id>/{act.slug}/", self.admin_site.admin_view(partial(self.act, act)), name=act.url_name) for act in ACTS]
        return [*own, *super().get_urls()]

    def act(self, act: Act, request: HttpRequest, object_id: str) -> HttpResponse:
        """Who may do this, and to whom, before anything is asked."""
        user = self.get_object(request, object_id)
        # SECURITY: each act by its own permission, and to staff by superusers alone.
        if not (request.user.has_perm(act.permission) and self.has_view_permission(request, user)):
            raise PermissionDenied
        if user is None:
            raise Http404
        if not self.is_within_reach(request, user):
            raise PermissionDenied
        return self.confirmed(request, user, act)

    @requires_recent_sign_in
    def confirmed(self, request: HttpRequest, user: User, act: Act) -> HttpResponse:
        back = reverse("admin:accounts_user_change", args=(user.pk,))
        if not act.fits(user):
            self.message_user(request, gettext("There is nothing to do: this was done already, or cannot be done."), messages.WARNING)
            return HttpResponseRedirect(back)
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return confirmation(
                request,
                site=self.admin_site,
                title=f"{act.title}: {user}",
                form=form,
                will=act.will(user),
                will_not=act.will_not(user),
                button=act.title,
                is_dangerous=act.is_dangerous,
                cancel_url=back,
                back_to=str(user),
            )
        try:
            done = act.do(user, actor=actor_of(request), reason=form.cleaned_data["reason"], language=languages.language_of(request))
            self.message_user(request, done, messages.SUCCESS)
        except users.LastSuperuser:
            self.message_user(request, accounts_admin.LAST_SUPERUSER, messages.ERROR)
        return HttpResponseRedirect(back)
