"""Verify a password for whatever door of ours asks for one, and say in the words of the wire why that cannot be done now."""

from datetime import UTC

from accounts import authentication, hash_slots, lockout
from accounts.authentication import Authenticated, Door
from accounts.throttling import Throttled
from oauth import ceilings
from oauth.errors import AccountLocked, TemporarilyUnavailable


def verify_password(identifier: str, *, password: str, door: Door) -> Authenticated:
    """Raises authentication.AuthenticationFailed, AccountLocked, RateLimitExceeded, TemporarilyUnavailable."""
    try:
        return authentication.authenticate(identifier, password=password, door=door)
    except Throttled as throttled:
        raise ceilings.as_refusal(throttled) from throttled
    except lockout.Locked as locked:
        raise as_refusal(locked) from locked
    except lockout.Busy as busy:
        raise TemporarilyUnavailable("as many attempts on this name as may fail are running") from busy
    except hash_slots.Full as full:
        raise TemporarilyUnavailable("no slot for a password hash") from full


def as_refusal(locked: lockout.Locked) -> AccountLocked:
    until = locked.until.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return AccountLocked(retry_after=locked.seconds, locked_until=until)
