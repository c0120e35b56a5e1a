"""How and when the person at this browser proved who they are, in the words of RFC 8176 and OpenID Connect Core §2."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from allauth.account.internal.flows.login import get_authentication_records
from django.http import HttpRequest

ONE_FACTOR: Literal["1"] = "1"
TWO_FACTORS: Literal["2"] = "2"
# By allauth's name of a factor, in the order in which they are told. Every passkey asks for a finger, a face or a PIN.
METHODS = {"password": ("pwd",), "totp": ("otp",), "recovery_codes": ("otp",), "webauthn": ("hwk", "user")}


class Unproven(Exception):
    """Nobody is signed in at this browser, or their session does not say how."""


@dataclass(frozen=True)
class Proof:
    auth_time: datetime
    amr: str
    acr: Literal["1", "2"]


def of(request: HttpRequest) -> Proof:
    """What proved who is signed in: each factor of this session, and the time of the newest, a repeated proof among them.

    `amr` has its values parted by spaces. `acr` is "2" for two factors, or for a passkey. Raises Unproven.
    """
    # SECURITY: of this very user: what another proved at this browser before is nothing to them.
    records = get_authentication_records(request, request.user) if request.user.is_authenticated else []
    given = {each.get("type", each["method"]) for each in records}
    factors = [factor for factor in METHODS if factor in given]
    if not factors:
        raise Unproven
    methods = list(dict.fromkeys(method for factor in factors for method in METHODS[factor]))
    is_several = len({METHODS[factor] for factor in factors}) > 1
    return Proof(
        auth_time=datetime.fromtimestamp(max(each["at"] for each in records), tz=UTC),
        amr=" ".join([*methods, *(["mfa"] if is_several else [])]),
        acr=TWO_FACTORS if is_several or "webauthn" in factors else ONE_FACTOR,
    )
