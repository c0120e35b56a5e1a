"""When this process last removed old rows of a table that prunes itself while it is written."""

import time


class Pruning:
    def __init__(self, *, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._due_at = 0.0

    def is_due(self) -> bool:
        """True once in each period, for whoever asks first."""
        now = time.monotonic()
        if now < self._due_at:
            return False
        self._due_at = now + self._every_seconds
        return True
