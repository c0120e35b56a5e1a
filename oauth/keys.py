"""The schedule of signing keys, and the JWK Set that verifiers read (RFC 7517, RFC 7638).

Every process computes the same view from the same rows and its clock. A poller in each server
process renews the view once a second, so that no request waits for it; when the database is away,
the rows that were read last go on to serve.
"""

import base64
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, connection, transaction

from accounts import audit, clock, metrics
from oauth.access_tokens import Signer
from oauth.errors import TemporarilyUnavailable
from oauth.models import SigningKey

ALGORITHM = "RS256"
RSA_BITS = 2048
POLL_SECONDS = 1.0
STALE_SECONDS = 15.0

logger = logging.getLogger(__name__)


class UndecryptableKey(TemporarilyUnavailable):
    """A private key does not open with any of KEY_ENCRYPTION_KEYS."""


@dataclass(frozen=True)
class KeySet:
    """What the schedule says at one instant."""

    signing: SigningKey | None
    public_keys: Mapping[str, rsa.RSAPublicKey]
    jwks: bytes
    etag: str

    @classmethod
    def at(cls, now: datetime, *, rows: Iterable[SigningKey]) -> "KeySet":
        published = [row for row in rows if is_published(row, now=now)]
        signing = [row for row in published if is_signing(row, now=now)]
        body = json.dumps({"keys": [_ordered(row.public_jwk) for row in published]}, separators=(",", ":")).encode()
        return cls(
            signing=signing[-1] if signing else None,
            public_keys={row.kid: _public_key(row.public_jwk["n"], row.public_jwk["e"]) for row in published},
            jwks=body,
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        )


def is_published(row: SigningKey, *, now: datetime) -> bool:
    """In the JWK Set: from before it signs until the last token it signed has expired, unless it was revoked."""
    return row.revoked_at is None and row.published_at <= now and (row.removed_at is None or now < row.removed_at)


def is_signing(row: SigningKey, *, now: datetime) -> bool:
    """Of several that are, the one of the highest sequence signs."""
    return row.revoked_at is None and row.signs_from <= now and (row.signs_until is None or now < row.signs_until)


class KeyRing:
    """This process's view of the schedule."""

    def __init__(self) -> None:
        self._rows: list[SigningKey] | None = None
        self._view: KeySet | None = None
        self._loaded_at = 0.0
        self._polls = False

    def view(self) -> KeySet:
        """From memory, at most a second old. Only a process without a poller reads the database here."""
        if self._view is None or not (self._polls or time.monotonic() - self._loaded_at < POLL_SECONDS):
            self.reload()
        assert self._view is not None  # noqa: S101 - reload raises or sets it
        return self._view

    def signer(self) -> Signer:
        """The key that signs now. Raises TemporarilyUnavailable when there is none, or it does not open: a token is never left unsigned."""
        row = self.view().signing
        if row is None:
            raise TemporarilyUnavailable("no signing key; run manage.py bootstrap")
        return _signer(row.kid, row.algorithm, row.private_key)

    def is_stale(self) -> bool:
        """Whether the poller has not been round for long: it hangs, or has ended."""
        return self._polls and time.monotonic() - self._loaded_at > STALE_SECONDS

    def reload(self) -> None:
        """Read the rows anew and compute the view. Without the database the known rows are kept; raises when there are none yet."""
        try:
            self._rows = list(SigningKey.objects.order_by("sequence"))
        except (DatabaseError, InterfaceError):
            metrics.STORE_UP.labels(metrics.DATABASE).set(0)
            if self._rows is None:
                raise
            logger.warning("the signing keys could not be read; those read last stay in use")
            connection.close()
        else:
            metrics.STORE_UP.labels(metrics.DATABASE).set(1)
        self._view = KeySet.at(clock.now(), rows=self._rows)
        self._loaded_at = time.monotonic()

    def forget(self) -> None:
        self._rows, self._view = None, None

    def poll(self) -> None:
        """Load the view and keep it fresh from a thread of its own for the rest of the process's life."""
        self._reload_or_report()
        connection.close()  # this thread serves no requests
        self._polls = True
        threading.Thread(target=self._run, name="signing-keys", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._reload_or_report()

    def _reload_or_report(self) -> None:
        try:
            self.reload()
        except Exception:
            # Whatever it was, the next round may go well; a thread that ended would go on signing with a revoked key.
            logger.exception("the signing keys could not be read")
            connection.close()


ring = KeyRing()


def ensure_first(*, now: datetime) -> SigningKey:
    """The oldest key, made when there is none yet. It signs at once: no verifier can hold an older set."""
    first = SigningKey.objects.order_by("sequence").first()
    if first is not None:
        return first
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    jwk = public_jwk(private_key.public_key())
    try:
        # SECURITY: the unique sequence decides which of several processes made the first key.
        with transaction.atomic():
            key = SigningKey.objects.create(
                sequence=1,
                kid=jwk["kid"],
                thumbprint=jwk["kid"],
                algorithm=ALGORITHM,
                public_jwk=jwk,
                private_key=_encrypt(private_key),
                created_at=now,
                published_at=now,
                signs_from=now,
            )
            audit.record("signing_key:schedule:created", target=key.kid)
    except IntegrityError:
        return SigningKey.objects.get(sequence=1)
    return key


def public_jwk(public_key: rsa.RSAPublicKey) -> dict[str, str]:
    """The public members of a key; `kid` is its RFC 7638 thumbprint."""
    numbers = public_key.public_numbers()
    required = {"e": _b64(numbers.e), "kty": "RSA", "n": _b64(numbers.n)}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")
    return {"kty": "RSA", "use": "sig", "alg": ALGORITHM, "kid": thumbprint, "n": required["n"], "e": required["e"]}


def _ordered(jwk: Mapping[str, str]) -> dict[str, str]:
    """Public members alone, in one order: PostgreSQL's jsonb keeps none, and the set's bytes are to be stable."""
    return {name: jwk[name] for name in ("kty", "use", "alg", "kid", "n", "e")}


@cache
def _signer(kid: str, algorithm: str, encrypted: str) -> Signer:
    """Parsed once per process: parsing a key costs a hundred times what a signature does."""
    try:
        der = _encryption().decrypt(encrypted.encode())
    except InvalidToken:
        raise UndecryptableKey(f"the private key {kid} does not open with AUTH_SERVICE__KEY_ENCRYPTION_KEYS") from None
    return Signer(kid=kid, algorithm=algorithm, private_key=serialization.load_der_private_key(der, password=None))


@cache
def _public_key(n: str, e: str) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(n=_unb64(n), e=_unb64(e)).public_key()


def _encrypt(private_key: rsa.RSAPrivateKey) -> str:
    der = private_key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return _encryption().encrypt(der).decode()


def _encryption() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in settings.KEY_ENCRYPTION_KEYS])


@cache
def _fernet(key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"authserver signing keys").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _b64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode().rstrip("=")


def _unb64(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
