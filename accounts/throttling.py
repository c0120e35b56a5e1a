"""Ceilings on what one address may send: a coarse fence around the exact counters of the lockout, held by django-ratelimit.

Windows are fixed: each address has its own, and a count begins at nothing in the next. An IPv6 address counts with its /64.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.conf import settings
from django_ratelimit.core import get_usage

from accounts import metrics
from accounts.lockout import source_of

Ceiling = Literal["requests", "failed_passwords", "failed_clients", "mails", "failed_device_codes", "device_codes_of_user"]

REQUESTS: Ceiling = "requests"
FAILED_PASSWORDS: Ceiling = "failed_passwords"
FAILED_CLIENTS: Ceiling = "failed_clients"
MAILS: Ceiling = "mails"
FAILED_DEVICE_CODES: Ceiling = "failed_device_codes"
DEVICE_CODES_OF_USER: Ceiling = "device_codes_of_user"

_SETTINGS: dict[Ceiling, str] = {
    REQUESTS: "RATE_LIMIT_PER_IP",
    FAILED_PASSWORDS: "RATE_LIMIT_FAILURES_PER_IP",
    FAILED_CLIENTS: "RATE_LIMIT_FAILURES_PER_IP",
    MAILS: "RATE_LIMIT_FAILURES_PER_IP",
    FAILED_DEVICE_CODES: "RATE_LIMIT_FAILURES_PER_IP",
    DEVICE_CODES_OF_USER: "RATE_LIMIT_FAILURES_PER_IP",
}


class Throttled(Exception):
    """One address has sent as much as the ceiling allows. `seconds` until its next window."""

    def __init__(self, ceiling: Ceiling, *, seconds: int) -> None:
        super().__init__(ceiling)
        self.ceiling = ceiling
        self.seconds = seconds


@dataclass(frozen=True)
class Usage:
    """How much of a ceiling is used up in this window, and for how many seconds more it lasts."""

    count: int
    limit: int
    seconds: int


def take(ceiling: Ceiling, *, address: str | None) -> None:
    """Count one. Raises Throttled when it is one too many."""
    _take(ceiling, source=_source_of(address))


def take_of_user(ceiling: Ceiling, *, user_id: UUID) -> None:
    """As `take`, for a ceiling that a person has, wherever they are."""
    _take(ceiling, source=str(user_id))


def record(ceiling: Ceiling, *, address: str | None) -> None:
    """Count one that has happened already, whatever is left."""
    _usage(ceiling, source=_source_of(address), increment=True)


def ensure_left(ceiling: Ceiling, *, address: str | None) -> None:
    """Raises Throttled when nothing is left. Counts nothing, so what runs at the same time may go beyond the ceiling."""
    usage = _usage(ceiling, source=_source_of(address), increment=False)
    if usage is not None and usage.count >= usage.limit:
        _refuse(ceiling, usage)


def _take(ceiling: Ceiling, *, source: str) -> None:
    usage = _usage(ceiling, source=source, increment=True)
    if usage is not None and usage.count > usage.limit:
        _refuse(ceiling, usage)


def _usage(ceiling: Ceiling, *, source: str, increment: bool) -> Usage | None:
    """None when nothing is counted: ceilings are switched off, or the counter vanished just now."""
    if not settings.ENABLE_RATE_LIMITING:
        return None
    rate = getattr(settings, _SETTINGS[ceiling])
    usage = get_usage(None, group=ceiling, key=lambda *_: source, rate=(rate.limit, int(rate.period.total_seconds())), increment=increment)
    # The second with which a window ends is still of it. It may end while it is asked: nobody is told to come in no time.
    return None if usage is None else Usage(usage["count"], usage["limit"], max(1, usage["time_left"] + 1))


def _source_of(address: str | None) -> str:
    # SECURITY: the network of an IPv6 address, or each of its 2⁶⁴ addresses would have a ceiling of its own.
    return source_of(address)


def _refuse(ceiling: Ceiling, usage: Usage) -> None:
    metrics.RATE_LIMITED.labels(ceiling).inc()
    raise Throttled(ceiling, seconds=usage.seconds)
