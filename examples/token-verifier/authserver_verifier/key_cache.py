"""Keeps the published keys: when to ask anew, when to wait, and what to do while the server is down."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from authserver_verifier import key_set
from authserver_verifier.errors import KeyNotAtHand, VerifierUnavailable
from authserver_verifier.fetching import FetchFailed, fetch

logger = logging.getLogger("authserver_verifier")


@dataclass(frozen=True)
class CachePolicy:
    """All in seconds but the last."""

    default_lifetime: float = 3600  # when Cache-Control does not say
    least_lifetime: float = 60  # however little it says: each is a request to the server
    longest_lifetime: float = 86400  # however much it says: so long is a key believed that was revoked
    stale_lifetime: float = 86400  # beyond its lifetime, while the server does not answer
    unknown_kid_interval: float = 10  # between fetches that tokens with unknown keys cause, whoever sends them
    longest_backoff: float = 60  # between attempts while they fail, beginning with one second
    fetch_limit: float = 5  # for one attempt, in all
    patience: float = 2  # that a caller waits for one; with no keys at all it waits to the end
    max_bytes: int = 65536


USUAL_POLICY = CachePolicy()


@dataclass(frozen=True)
class _KeySet:
    keys: Mapping[str, RSAPublicKey]
    etag: str | None
    fresh_until: float
    usable_until: float


@dataclass(frozen=True, eq=False)
class _Attempt:
    started_at: float
    done: threading.Event = field(default_factory=threading.Event)


class KeyCache:
    """Safe to share between threads. A fetch runs in a thread of its own, one at a time; who needs its outcome waits for it, briefly."""

    def __init__(self, url: str, policy: CachePolicy = USUAL_POLICY, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._policy, self._clock = url, policy, clock
        self._lock = threading.Lock()
        self._held: _KeySet | None = None  # replaced as a whole, so that it is read without the lock
        self._attempt: _Attempt | None = None
        self._failures, self._next_attempt_at = 0, -math.inf
        self._next_unknown_kid_at = -math.inf

    def find(self, kid: str, *, wait: bool = True) -> RSAPublicKey | None:
        """The key of this name; None if the server publishes none.

        With `wait=False` it takes no longer than a look-up. Raises VerifierUnavailable, KeyNotAtHand.
        """
        held, now = self._held, self._clock()
        if held is not None and now < held.fresh_until and kid in held.keys:
            return held.keys[kid]
        with self._lock:
            attempt = self._running(now) or self._start_if_due(kid, now)
            failing = self._failures > 0
        if failing and (key := self._usable().get(kid)) is not None:
            return key  # the server is down: nobody waits for it who can do without
        if attempt is not None and (seconds := self._worth_waiting(attempt, now)) > 0:
            if not wait:
                raise KeyNotAtHand("the keys are being fetched", retry_after=1)
            attempt.done.wait(seconds)
        return self._outcome(kid, attempt)

    def _worth_waiting(self, attempt: _Attempt, now: float) -> float:
        """Counted from its start: who comes later waits no longer than who came first."""
        patience = self._policy.patience if self._usable() else self._policy.fetch_limit
        return 0 if attempt.done.is_set() else attempt.started_at + patience - now

    def _outcome(self, kid: str, attempt: _Attempt | None) -> RSAPublicKey | None:
        usable = self._usable()
        if kid in usable:
            return usable[kid]
        if usable and not self._failures and (attempt is None or attempt.done.is_set()):
            return None
        retry_after = max(1, math.ceil(min(self._next_attempt_at, self._clock() + 3600) - self._clock())) if self._failures else 1
        raise VerifierUnavailable("the key set could not be fetched, and no key of this name is known", retry_after=retry_after)

    def _usable(self) -> Mapping[str, RSAPublicKey]:
        held = self._held
        return held.keys if held is not None and self._clock() < held.usable_until else {}

    # --- What is below holds the lock ---------------------------------------------------------------

    def _running(self, now: float) -> _Attempt | None:
        """One that never came back, as after a fork, is given up."""
        attempt = self._attempt
        return attempt if attempt is not None and now < attempt.started_at + 4 * self._policy.fetch_limit else None

    def _start_if_due(self, kid: str, now: float) -> _Attempt | None:
        held = self._held
        if self._failures and now < self._next_attempt_at:
            return None
        if held is not None and now < held.fresh_until:
            # SECURITY: whoever makes up kids must not make us flood the server.
            if now < self._next_unknown_kid_at:
                return None
            self._next_unknown_kid_at = now + self._policy.unknown_kid_interval
        attempt = _Attempt(now)
        threading.Thread(target=self._run, args=(attempt, held), name="key-set", daemon=True).start()
        self._attempt = attempt
        return attempt

    # --- The thread of an attempt -------------------------------------------------------------------

    def _run(self, attempt: _Attempt, held: _KeySet | None) -> None:
        fetched = None
        try:
            fetched = self._fetch(attempt, held)
        except (FetchFailed, ValueError) as error:
            logger.warning("No key set from %s (%s); the one from before stays in use while it may.", self._url, error)
        finally:
            with self._lock:
                self._settle(attempt, fetched)
            attempt.done.set()

    def _fetch(self, attempt: _Attempt, held: _KeySet | None) -> _KeySet:
        policy = self._policy
        answer = fetch(self._url, etag=held.etag if held is not None else None, seconds=policy.fetch_limit, max_bytes=policy.max_bytes)
        keys = held.keys if held is not None and answer.body is None else key_set.parse(answer.body or b"")
        said = policy.default_lifetime if answer.lifetime is None else answer.lifetime
        fresh_until = attempt.started_at + min(max(said, policy.least_lifetime), policy.longest_lifetime)
        return _KeySet(keys, answer.etag, fresh_until, fresh_until + policy.stale_lifetime)

    def _settle(self, attempt: _Attempt, fetched: _KeySet | None) -> None:
        if fetched is None:
            self._failures += 1
            self._next_attempt_at = self._clock() + min(2.0 ** min(self._failures - 1, 16), self._policy.longest_backoff)
        else:
            self._held, self._failures = fetched, 0
        if self._attempt is attempt:
            self._attempt = None
