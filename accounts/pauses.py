"""The pauses of threads that look now and then: no process keeps step with another."""

import random
import time


def sleep_about(seconds: float, *, spread: float = 0.5) -> None:
    """Sleep for `seconds`, give or take `spread` of them."""
    time.sleep(seconds * random.uniform(1 - spread, 1 + spread))  # noqa: S311 - nobody gains by guessing it
