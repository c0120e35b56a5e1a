"""The windows of ceilings at a real server, whose clock cannot be held: they are fixed, and a count begins at nothing in the next."""

import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from django_ratelimit import core as ratelimit

from accounts import name_counts
from accounts.lockout import source_of

FIVE_MINUTES, DAY = timedelta(minutes=5), timedelta(days=1)
LONG_ENOUGH = timedelta(minutes=2)  # for what a test counts within one window
HOUR_LONG_ENOUGH_SECONDS = 60


def new_address(*, within: timedelta = FIVE_MINUTES) -> str:
    """One that nobody used before, whose window of this length does not end soon."""
    return _drawn(lambda: f"198.18.{secrets.randbelow(256)}.{secrets.randbelow(256)}", within)


def new_ipv6_prefix(*, within: timedelta = FIVE_MINUTES) -> str:
    """The same for a /64: its first four groups."""
    return _drawn(lambda: f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::", within).removesuffix("::")


def wait_for_a_long_hour() -> None:
    """Until names that are counted now are counted together with those that come within the next minute."""
    left = name_counts.WINDOW_SECONDS - time.time() % name_counts.WINDOW_SECONDS
    if left < HOUR_LONG_ENOUGH_SECONDS:
        time.sleep(left + 1)


def _drawn(draw: Callable[[], str], within: timedelta) -> str:
    while True:
        address, now = draw(), time.time()
        if ratelimit._get_window(source_of(address), int(within.total_seconds())) - now > LONG_ENOUGH.total_seconds():
            return address
