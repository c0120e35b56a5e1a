"""The ceilings on what one address may send, in the words of the wire (accounts.throttling)."""

from collections.abc import Iterator
from contextlib import contextmanager

from accounts import throttling
from accounts.throttling import FAILED_CLIENTS, REQUESTS, Throttled
from oauth import presented_tokens, refresh_tokens
from oauth.errors import InvalidClient, RateLimitExceeded
from oauth.http import Form
from oauth.models import REFRESH_TOKEN


def ensure_request_allowed(form: Form, *, address: str | None) -> None:
    """Count a request for tokens, but for a refresh with a token that we issued. Raises RateLimitExceeded."""
    if _is_genuine_refresh(form):
        return
    try:
        throttling.take(REQUESTS, address=address)
    except Throttled as throttled:
        raise as_refusal(throttled) from throttled


@contextmanager
def counting_failed_clients(address: str | None) -> Iterator[None]:
    """Count a failure of client authentication, and raise RateLimitExceeded instead when it is one too many.

    Who authenticates well is let through whatever others at the same address did: a secret of 256 bits is not guessed.
    """
    try:
        yield
    except InvalidClient as failure:
        try:
            throttling.take(FAILED_CLIENTS, address=address)
        except Throttled as throttled:
            raise as_refusal(throttled, client_id=failure.client_id) from failure
        raise


def as_refusal(throttled: Throttled, *, client_id: str = "") -> RateLimitExceeded:
    return RateLimitExceeded(f"ceiling: {throttled.ceiling}", retry_after=throttled.seconds, client_id=client_id)


def _is_genuine_refresh(form: Form) -> bool:
    if form.optional("grant_type") != REFRESH_TOKEN:
        return False
    try:
        # SECURITY: by its tag alone, or the signature of an older one: whatever else has the form of a token is counted,
        # or guesses at tokens would be free.
        presented_tokens.read(form.optional("refresh_token"))
    except refresh_tokens.Malformed:
        return False
    return True
