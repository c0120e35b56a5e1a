"""What whoever is signed in to a browser has proved of themselves, and when: for tokens that rest on it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from allauth.account.internal.flows.login import get_authentication_records
from django.http import HttpRequest

from accounts import clock
from accounts.browser_sessions import STARTED_AT

PASSWORD, CODE, PASSKEY, PRESENCE, TWO_FACTORS = "pwd", "otp", "hwk", "user", "mfa"
ONE_FACTOR_CLASS, TWO_FACTORS_CLASS = "1", "2"
_KINDS: dict[str, tuple[str, ...]] = {"webauthn": (PASSKEY, PRESENCE), "totp": (CODE,), "recovery_codes": (CODE,)}


@dataclass(frozen=True)
class Proof:
    """`auth_time` is of the newest proof; `amr` has the names of RFC 8176, parted by spaces; `acr` is "1", or "2" for two factors."""

    auth_time: datetime
    amr: str
    acr: str


def of(request: HttpRequest) -> Proof:
    records = get_authentication_records(request, request.user)
    methods = [name for record in records for name in _names_of(record)]
    amr = list(dict.fromkeys(methods))
    if PASSWORD in amr and len({*amr} - {PRESENCE}) > 1:
        amr.append(TWO_FACTORS)
    at = records[-1]["at"] if records else request.session.get(STARTED_AT, clock.now().timestamp())
    is_strong = TWO_FACTORS in amr or PASSKEY in amr
    return Proof(datetime.fromtimestamp(at, UTC), " ".join(amr), TWO_FACTORS_CLASS if is_strong else ONE_FACTOR_CLASS)


def _names_of(record: dict[str, object]) -> tuple[str, ...]:
    if record["method"] == "password":
        return (PASSWORD,)
    return _KINDS.get(str(record.get("type")), ())
