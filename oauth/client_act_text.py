"""What an act on a client will do and will not, in the reader's language, before it is done; and what came of it."""

from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import clock
from oauth.models import Client
from oauth.session_ending import Preview


@dataclass(frozen=True)
class Consequences:
    will: list[str]
    will_not: list[str]
    notes: list[str] = field(default_factory=list)


def of_rotation(client: Client) -> Consequences:
    will = [_("A new secret is made, works at once and is shown once."), _("The old one stops after 24 hours, or now: as you choose.")]
    will_not = [_("No session ends, and no token that is out becomes invalid.")]
    notes = []
    if client.previous_secret_expires_at is not None and client.previous_secret_expires_at > clock.now():
        notes.append(_("A rotation is under way: the secret before the one that works now still works, and stops at once."))
    return Consequences(will, will_not, notes)


def of_old_secret(client: Client, *, kept: bool) -> str:
    if kept and client.previous_secret_expires_at is not None:
        return _("The old secret works until %(instant)s.") % {"instant": f"{client.previous_secret_expires_at:%Y-%m-%d %H:%M} UTC"}
    return _("The old secret works no more.")


def of_disabling() -> Consequences:
    will = [_("It gets no token, and its sessions do not refresh."), _what_goes_on()]
    return Consequences(will, [_("Its sessions do not end: they come back when it is enabled again.")])


def of_disabling_many() -> Consequences:
    will = [_("They get no token, and their sessions do not refresh."), _what_goes_on()]
    return Consequences(will, [_("Their sessions do not end: they come back when the client is enabled again, on its page.")])


def of_enabling() -> Consequences:
    will = [_("It gets tokens again."), _("Its sessions that have not ended go on.")]
    return Consequences(will, [_("Its secret does not change.")])


def of_ending(found: Preview, *, client: Client | None) -> Consequences:
    counted = ngettext("%(count)s session ends.", "%(count)s sessions end.", found.count) % {"count": found.count}
    if not found.is_exact and client is not None:
        counted = _("At least %(count)s sessions end: there are more than were counted.") % {"count": found.count}
    elif not found.is_exact:
        counted = _("About %(count)s sessions end: that is an estimate.") % {"count": found.count}
    will = [counted, _("Their users have to sign in anew."), _what_goes_on()]
    will_not = [_("Nobody is kept out: people can sign in again at once. Disable the client to keep it out.")]
    will_not.append(_("Staff stay signed in here."))
    return Consequences(will, will_not, [_("It cannot be undone.")])


def of_ended(count: int) -> str:
    return ngettext("Ended: %(count)s session.", "Ended: %(count)s sessions.", count) % {"count": count}


def of_unfinished(count: int) -> str:
    return _("Not finished: %(count)s ended so far, and there are more. Send this page again to go on, or run manage.py end_sessions.") % {
        "count": count
    }


def _what_goes_on() -> str:
    return _(
        "This server refuses their access tokens at the next request. A service that verifies tokens by itself takes those that are out "
        "until they expire, after %(minutes)s minutes at most."
    ) % {"minutes": int(settings.ACCESS_TOKEN_LIFETIME.total_seconds() / 60)}
