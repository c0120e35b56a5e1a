"""The ceilings on what one address may send, in the words of the wire (accounts.throttling)."""

from accounts import throttling
from accounts.throttling import FAILED_CLIENTS, REQUESTS, Throttled
from oauth import presented_tokens, refresh_tokens
from oauth.errors import InvalidClient, RateLimitExceeded
from oauth.http import Form
from oauth.models import REFRESH_TOKEN
from oauth.refresh_tokens import RefreshToken


def ensure_request_allowed(form: Form, *, address: str | None) -> RefreshToken | None:
    """Count a request for tokens, but for a refresh with a token that we issued: that one is returned. Raises RateLimitExceeded."""
    refreshed = _genuine_refresh(form)
    if refreshed is not None:
        return refreshed
    try:
        throttling.take(REQUESTS, address=address)
    except Throttled as throttled:
        raise as_refusal(throttled) from throttled
    return None


def count_failed_client(failure: InvalidClient, *, address: str | None) -> None:
    """Count a failure of client authentication. Raises RateLimitExceeded when it is one too many.

    Who authenticates well is let through whatever others at the same address did: a secret of 256 bits is not guessed.
    """
    try:
        throttling.take(FAILED_CLIENTS, address=address)
    except Throttled as throttled:
        raise as_refusal(throttled, client_id=failure.client_id) from failure


def as_refusal(throttled: Throttled, *, client_id: str = "") -> RateLimitExceeded:
    return RateLimitExceeded(f"ceiling: {throttled.ceiling}", retry_after=throttled.seconds, client_id=client_id)


def _genuine_refresh(form: Form) -> RefreshToken | None:
    if form.optional("grant_type") != REFRESH_TOKEN:
        return None
    try:
        # SECURITY: by its tag alone, or the signature of an older one: whatever else has the form of a token is counted,
        # or guesses at tokens would be free.
        return presented_tokens.read(form.optional("refresh_token"))
    except refresh_tokens.Malformed:
        return None
