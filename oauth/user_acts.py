"""What staff do to one user from their page: each act has its permission, its consequences in words, and one operation behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts import lockout, password_reset, user_locks, users
from accounts.actors import Actor
from accounts.models import User
from oauth.admin_acts import what_goes_on
from oauth.models import Session

MOST_COUNTED = 100


@dataclass(frozen=True)
class Act:
    """`slug` ends its address. `fits` says whether there is anything to do; `do` does it and returns what to tell."""

    slug: str
    permission: str
    label: Any
    title: Any
    is_dangerous: bool
    fits: Callable[[User], bool]
    will: Callable[[User], Sequence[Any]]
    will_not: Callable[[User], Sequence[Any]]
    do: Callable[..., Any]

    @property
    def url_name(self) -> str:
        return f"accounts_user_{self.slug.replace('-', '_')}"


def live_sessions(user: User) -> int:
    """At most a hundred and one are counted."""
    return len(Session.objects.live().filter(user=user).values_list("pk")[: MOST_COUNTED + 1])


def sessions_in_words(count: int, *, is_exact: bool) -> str:
    if not is_exact:
        return gettext("More than %(count)d live sessions end, and every session of the admin.") % {"count": count - 1}
    text = ngettext(
        "%(count)d live session ends, and every session of the admin.",
        "%(count)d live sessions end, and every session of the admin.",
        count,
    )
    return text % {"count": count}


def _sessions_end(user: User) -> str:
    count = live_sessions(user)
    return sessions_in_words(count, is_exact=count <= MOST_COUNTED)


def _unlock(user: User, *, actor: Actor, reason: str, language: str) -> Any:
    lockout.unlock(user.pk, actor=actor, reason=reason)
    return _("Unlocked: they can try to sign in at once.")


def _send_reset(user: User, *, actor: Actor, reason: str, language: str) -> Any:
    password_reset.send(user, language=language, actor=actor, reason=reason)
    return _("The mail is on its way.")


def _sign_out(user: User, *, actor: Actor, reason: str, language: str) -> Any:
    users.sign_out_everywhere(user, actor=actor, reason=reason)
    return _("Signed out everywhere.")


def _disable(user: User, *, actor: Actor, reason: str, language: str) -> Any:
    users.disable(user, actor=actor, reason=reason)
    return _("Disabled: they cannot sign in any more.")


def _enable(user: User, *, actor: Actor, reason: str, language: str) -> Any:
    users.enable(user, actor=actor, reason=reason)
    return _("Enabled: they can sign in again.")


ACTS = (
    Act(
        slug="unlock",
        permission="accounts.unlock_user",
        label=_("Unlock…"),
        title=_("Unlock"),
        is_dangerous=False,
        fits=lambda user: bool(user_locks.locks_of(user)),
        will=lambda user: (
            _("Every lock on this user is lifted, for all addresses, and the failed attempts are forgotten."),
            _("They can try to sign in at once."),
        ),
        will_not=lambda user: (_("Password, second factor and sessions stay as they are."),),
        do=_unlock,
    ),
    Act(
        slug="send-password-reset",
        permission="accounts.send_password_reset",
        label=_("Send password reset…"),
        title=_("Send password reset"),
        is_dangerous=False,
        fits=password_reset.can_be_sent,
        will=lambda user: (
            gettext("A mail with a link is sent to %(email)s. It is good for 30 minutes from when it leaves.") % {"email": user.email},
            _("With the link they choose another password; that ends all their sessions and lifts their locks."),
        ),
        will_not=lambda user: (
            _("The password stays as it is until they choose another one. Nobody else sees either."),
            _("A second factor stays as it is."),
        ),
        do=_send_reset,
    ),
    Act(
        slug="sign-out-everywhere",
        permission="accounts.sign_out_user",
        label=_("Sign out everywhere…"),
        title=_("Sign out everywhere"),
        is_dangerous=True,
        fits=lambda user: True,
        will=lambda user: (_sessions_end(user), *what_goes_on()),
        will_not=lambda user: (_("The password stays: they can sign in again."),),
        do=_sign_out,
    ),
    Act(
        slug="disable",
        permission="accounts.disable_user",
        label=_("Disable…"),
        title=_("Disable"),
        is_dangerous=True,
        fits=lambda user: user.is_active,
        will=lambda user: (_("They can neither sign in nor refresh."), _sessions_end(user), *what_goes_on()),
        will_not=lambda user: (_("Nothing is deleted: the account can be enabled again. Sessions that have ended stay ended."),),
        do=_disable,
    ),
    Act(
        slug="enable",
        permission="accounts.disable_user",
        label=_("Enable…"),
        title=_("Enable"),
        is_dangerous=False,
        fits=lambda user: not user.is_active,
        will=lambda user: (_("They can sign in again, with the password they had."),),
        will_not=lambda user: (_("Sessions that have ended stay ended."),),
        do=_enable,
    ),
)
