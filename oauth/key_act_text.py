"""What an act on a signing key will do and will not, in the reader's language, before it is done."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from oauth import key_rotation
from oauth.key_rotation import Succession
from oauth.key_schedule import Place, Schedule, State
from oauth.models import SigningKey


@dataclass(frozen=True)
class Consequences:
    """`kid` is of the key that the act is about."""

    kid: str
    will: list[str]
    will_not: list[str]
    notes: list[str]


def of_rotation(schedule: Schedule[SigningKey], *, now: datetime) -> Consequences | None:
    """None when there is no key to rotate to."""
    signing, standby = schedule.signer(now), schedule.standby(now)
    if signing is None or standby is None or standby is signing:
        return None
    instant = utc(key_rotation.earliest(standby, now=now))
    will = [
        _("%(kid)s signs from %(instant)s, when every service that verifies tokens can know it.")
        % {"kid": standby.key.kid, "instant": instant},
        _("%(kid)s stops signing then. It stays in the key set until its last token has expired.") % {"kid": signing.key.kid},
        _("A new standby is made and published."),
    ]
    will_not = [_("No token that is out becomes invalid."), _("Nobody is signed out."), _("No service has to be told or restarted.")]
    notes = []
    if standby.key.signs_from is not None and standby.key.signs_from <= key_rotation.earliest(standby, now=now):
        notes.append(_("That is decided already: rotating again changes nothing."))
    return Consequences(signing.key.kid, will, will_not, notes)


def of_revocation(place: Place[SigningKey], schedule: Schedule[SigningKey], *, now: datetime) -> Consequences:
    kid, standby = place.key.kid, schedule.standby(now)
    will = [
        _("%(kid)s leaves the key set at once, and its private key is erased.") % {"kid": kid},
        _("This server refuses every access token that it signed, within a second."),
    ]
    notes = [_leaked(settings.JWKS_MAX_AGE)]
    if place.state(now) is State.ACTIVE and standby is not None:
        will.append(_("%(kid)s signs at once.") % {"kid": standby.key.kid})
        if standby.key.published_at + settings.KEY_PUBLISH_LEAD > now:
            notes.append(
                _(
                    "The standby was published only lately: services with an older copy of the key set refuse its tokens "
                    "until they fetch it anew."
                )
            )
    elif place.state(now) is State.ACTIVE:
        will.append(_("A new key is made and signs at once. Services refuse its tokens until they fetch the key set anew."))
    if place.state(now) is not State.RETIRING:
        will.append(_("A new standby is made and published."))
    will_not = [_("Nobody has to sign in anew: refresh tokens stay good.")]
    notes.append(_("It cannot be undone."))
    return Consequences(kid, will, will_not, notes)


def of_succession(made: Succession) -> str:
    names = {"kid": made.kid, "instant": utc(made.signs_from)}
    if not made.decided_now:
        return _("That was decided already: %(kid)s signs from %(instant)s. Nothing was changed.") % names
    return _("%(kid)s signs from %(instant)s.") % names


def utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _leaked(max_age: timedelta) -> str:
    minutes: dict[str, Any] = {"minutes": -(-int(max_age.total_seconds()) // 60)}
    return (
        _(
            "Services that verify tokens by themselves believe what is signed with a stolen key until they fetch the key set anew, after "
            "%(minutes)s minutes at most. Restart them, or empty their caches, to end that at once."
        )
        % minutes
    )
