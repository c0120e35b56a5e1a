"""How, and how recently, the person at a browser proved who they are, in the words of tokens (RFC 8176, OpenID Connect Core 1.0 §2)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from allauth.account.internal.flows.login import get_authentication_records
from django.conf import settings
from django.http import HttpRequest

_WORDS = {"password": ("pwd",), "totp": ("otp",), "recovery_codes": ("otp",), "webauthn": ("hwk", "user")}
_ORDER = ("pwd", "otp", "hwk", "user", "mfa")
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Proof:
    """`auth_time` is that of the newest proof, by the second factor if one was given; `amr` is parted by spaces.

    `acr` is "1" for one factor, "2" for two, or a passkey.
    """

    auth_time: datetime
    amr: str
    acr: str


def must_be_stronger(request: HttpRequest) -> bool:
    """Whether this is a member of staff who has given no second factor here: outside development they need one at every door."""
    return bool(getattr(request.user, "is_staff", False)) and not settings.DEVELOPMENT and of(request).acr == "1"


def of(request: HttpRequest) -> Proof:
    """Of a person who is signed in; one of whom nothing is recorded proved it long ago, by a password."""
    # SECURITY: of this very user: what another proved at this browser before is nothing to them.
    records = get_authentication_records(request, request.user)
    words = {word for record in records for word in _WORDS.get(record.get("type") or record["method"], ())} or {"pwd"}
    # Two of what one knows, has and is; a passkey asks the device for a finger or a PIN.
    if len(words & {"pwd", "otp", "hwk"}) > 1:
        words.add("mfa")
    # SECURITY: a password alone makes no sign-in with two factors recent (recent_sign_in asks the same).
    newest = [record for record in records if record["method"] == "mfa"] or records
    auth_time = datetime.fromtimestamp(newest[-1]["at"], UTC) if newest else _LONG_AGO
    return Proof(auth_time, " ".join(word for word in _ORDER if word in words), "2" if words & {"mfa", "user"} else "1")
