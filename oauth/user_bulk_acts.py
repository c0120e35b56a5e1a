"""What staff do to many users from the list: the acts of a user's page, for each of those that were ticked."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import admin as accounts_admin
from accounts import languages, outbox, users
from accounts.act_on_many import LeftOut, ManyAct, asked_or_done
from accounts.actors import Actor
from accounts.models import User
from accounts.recent_sign_in import requires_recent_sign_in
from oauth.admin_acts import what_goes_on
from oauth.user_acts import ACTS, MOST_COUNTED, sessions_in_words

BY_SLUG = {act.slug: act for act in ACTS}
# Whoever does these to many is not among the many: their own page is the place for it.
NOT_TO_ONESELF = frozenset({"sign-out-everywhere", "disable"})


class UserBulkActs:
    """For the ModelAdmin of users: each action by the permission of the act it does."""

    is_within_reach: Callable[[HttpRequest, User], bool]
    actions = ("unlock_users", "send_password_resets", "sign_out_everywhere", "disable_users")

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(BY_SLUG["unlock"].permission)

    def has_send_reset_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(BY_SLUG["send-password-reset"].permission)

    def has_sign_out_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(BY_SLUG["sign-out-everywhere"].permission)

    def has_disable_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(BY_SLUG["disable"].permission)

    @admin.action(description=_("Unlock…"), permissions=["unlock"])
    @requires_recent_sign_in
    def unlock_users(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        return self._for_many(request, queryset, "unlock", action="unlock_users")

    @admin.action(description=_("Send password reset…"), permissions=["send_reset"])
    @requires_recent_sign_in
    def send_password_resets(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        return self._for_many(request, queryset, "send-password-reset", action="send_password_resets")

    @admin.action(description=_("Sign out everywhere…"), permissions=["sign_out"])
    @requires_recent_sign_in
    def sign_out_everywhere(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        return self._for_many(request, queryset, "sign-out-everywhere", action="sign_out_everywhere")

    @admin.action(description=_("Disable…"), permissions=["disable"])
    @requires_recent_sign_in
    def disable_users(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        return self._for_many(request, queryset, "disable", action="disable_users")

    def _for_many(self, request: HttpRequest, queryset: QuerySet[User], slug: str, *, action: str) -> HttpResponse | None:
        act, will_not = BY_SLUG[slug], WILL_NOT[slug]
        many = ManyAct(
            action=action,
            title=act.title,
            who=_users,
            why_not=partial(self._why_not, request, slug),
            will=WILL[slug],
            will_not=will_not,
            do=partial(_do, act.do, language=languages.language_of(request)),
            is_dangerous=act.is_dangerous,
        )
        return asked_or_done(self, request, queryset, many)  # type: ignore[arg-type] # a mixin of it

    def _why_not(self, request: HttpRequest, slug: str, user: Any) -> str:
        # SECURITY: what the act may not do to one member of staff it does not do to many.
        if not self.is_within_reach(request, user):
            return gettext("Left out, as staff are an owner's to change")
        if slug in NOT_TO_ONESELF and user.pk == request.user.pk:
            return gettext("Left out, as it is you")
        return "" if FITS[slug](user) else str(NOT_FIT[slug])


def _do(do: Callable[..., Any], user: User, actor: Actor, reason: str, *, language: str) -> Any:
    try:
        return do(user, actor=actor, reason=reason, language=language)
    except users.LastSuperuser:
        raise LeftOut(str(accounts_admin.LAST_SUPERUSER)) from None


def _users(rows: Sequence[Any]) -> str:
    return ngettext("%(count)d user", "%(count)d users", len(rows)) % {"count": len(rows)}


def _sessions_end(rows: Sequence[Any]) -> str:
    """Added up of what each row of the list says, which has a bound."""
    return sessions_in_words(sum(row.live_sessions for row in rows), is_exact=all(row.live_sessions <= MOST_COUNTED for row in rows))


# By what the list has read of each row: no question for each.
FITS: dict[str, Callable[[Any], Any]] = {
    "unlock": lambda user: user.is_locked,
    "send-password-reset": lambda user: user.is_active and user.email and outbox.is_set_up(),
    "sign-out-everywhere": lambda user: True,
    "disable": lambda user: user.is_active,
}
NOT_FIT = {
    "unlock": _("Left out, as nothing locks them"),
    "send-password-reset": _("Left out, as no mail can be sent to them"),
    "disable": _("Left out, as they are disabled already"),
}
WILL: dict[str, Callable[[Sequence[Any]], Sequence[Any]]] = {
    "unlock": lambda rows: (
        _("Every lock on these users is lifted, for all addresses, and their failed attempts are forgotten."),
        _("If somebody is guessing at their passwords right now, the guesses count from nothing again."),
    ),
    "send-password-reset": lambda rows: (
        _("Each gets a mail with a link, at the address on record. It is good for 30 minutes from when it leaves."),
        _("With the link they choose another password; that ends all their sessions and lifts their locks."),
    ),
    "sign-out-everywhere": lambda rows: (_sessions_end(rows), *what_goes_on()),
    "disable": lambda rows: (_("They can neither sign in nor refresh."), _sessions_end(rows), *what_goes_on()),
}
WILL_NOT = {
    "unlock": (_("Password, second factor and sessions stay as they are."),),
    "send-password-reset": (_("The passwords stay as they are until they choose others. A second factor stays as it is."),),
    "sign-out-everywhere": (_("The password stays: they can sign in again."),),
    "disable": (_("Nothing is deleted: each account can be enabled again, on its page. Sessions that have ended stay ended."),),
}
