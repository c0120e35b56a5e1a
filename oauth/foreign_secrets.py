"""A client's secret that another service kept as a bcrypt hash: verified the dear way until the client shows it, then kept as ours are.

Of a secret of 256 bits SHA-256 is enough (clients.py). Until then a wrong one costs a quarter of a second, so each process tries at
most one a second for each client: whoever knows a client_id must not be able to hold the cores that hash passwords.
"""

import hmac
import threading
import time
from datetime import datetime

import bcrypt

from accounts.foreign_hashers import BCRYPT_BYTES
from accounts.hash_slots import Full, slots
from oauth.errors import TemporarilyUnavailable
from oauth.models import Client

EVERY_SECONDS = 1.0


class Turns:
    """Which client's secret was tried within the second, in this process."""

    def __init__(self) -> None:
        self._free_from: dict[int, float] = {}
        self._lock = threading.Lock()

    def take(self, client: Client) -> None:
        """Raises TemporarilyUnavailable."""
        now = time.monotonic()
        with self._lock:
            if self._free_from.get(client.pk, 0.0) > now:
                raise TemporarilyUnavailable("another secret of this client is being tried")
            self._free_from[client.pk] = now + EVERY_SECONDS

    def forget(self) -> None:
        with self._lock:
            self._free_from.clear()


turns = Turns()
# What was shown, by the hash that it fits: other requests of the second need not wait for the client to be read anew.
_shown: dict[str, bytes] = {}


def is_that_of(client: Client, value: str, *, digest: bytes, now: datetime) -> bool:
    """Whether `value` is the secret of the hash; then `digest` takes the hash's place. Raises TemporarilyUnavailable."""
    stored = client.foreign_secret_hash
    if not stored or not _counts(client, now):
        return False
    if stored in _shown:
        return hmac.compare_digest(_shown[stored], digest)
    turns.take(client)
    if not _fits(value, stored):
        return False
    _keep(client, digest)
    _shown[stored] = digest
    return True


def _counts(client: Client, now: datetime) -> bool:
    """As the client's secret, or as the one before, for as long as that works."""
    if client.secret_digest is None:
        return True
    return client.previous_secret_expires_at is not None and now < client.previous_secret_expires_at


def _fits(value: str, stored: str) -> bool:
    try:
        with slots.admit(), slots.take():
            # Longer ones are cut, as the service did that made the hash.
            return slots.compute(bcrypt.checkpw, value.encode()[:BCRYPT_BYTES], stored.encode())
    except Full as full:
        raise TemporarilyUnavailable("as many hash as may") from full


def _keep(client: Client, digest: bytes) -> None:
    # SECURITY: by the hash that was tried: staff may have given the client another secret meanwhile.
    rows = Client.objects.filter(pk=client.pk, foreign_secret_hash=client.foreign_secret_hash)
    if client.secret_digest is None:
        rows.filter(secret_digest=None).update(secret_digest=digest, foreign_secret_hash="")
    else:
        rows.update(previous_secret_digest=digest, foreign_secret_hash="")
