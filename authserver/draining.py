"""Between SIGTERM and the end of this process: it still answers, and says that it is not to be asked any more."""

import time
from dataclasses import dataclass

from django.conf import settings


@dataclass
class Draining:
    """`until` is by the monotonic clock; None while nobody has asked the process to stop."""

    until: float | None = None


_here = Draining()


def begin() -> None:
    _here.until = time.monotonic() + settings.DRAIN_SECONDS


def has_begun() -> bool:
    return _here.until is not None


def seconds_left() -> float:
    return 0.0 if _here.until is None else _here.until - time.monotonic()


def is_over() -> bool:
    return has_begun() and seconds_left() <= 0
