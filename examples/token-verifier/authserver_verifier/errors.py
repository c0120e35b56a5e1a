"""What can come of a token besides its claims."""


class InvalidToken(Exception):
    """The token is refused: answer 401. The text says why, for your log; it holds nothing of the token."""


class VerifierUnavailable(Exception):
    """Nobody can say whether the token is good, for want of keys: answer 503 and Retry-After, never 401."""

    def __init__(self, reason: str, *, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after  # seconds


class KeyNotAtHand(VerifierUnavailable):
    """The keys are being fetched, and the caller did not want to wait for them."""
