"""The rows of the signing keys, and all that is ever written to them. What to write, and when, is decided elsewhere."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts import audit, encryption
from accounts.actors import NOBODY, Actor
from oauth import key_pairs
from oauth.key_pairs import KeyPair, PrivateKey
from oauth.key_schedule import Schedule
from oauth.models import Client, SigningKey


def current() -> Schedule[SigningKey]:
    return schedule_of(SigningKey.objects.order_by("sequence"))


def locked() -> list[SigningKey]:
    """All of them, for nobody else to decide on until the transaction ends."""
    list(SigningKey.objects.select_for_update().order_by("sequence").values_list("pk"))
    # By a statement of its own: the one that waited does not see the rows that were inserted meanwhile (PostgreSQL).
    return list(SigningKey.objects.order_by("sequence"))


def schedule_of(rows: Iterable[SigningKey]) -> Schedule[SigningKey]:
    return Schedule(rows, skew=settings.CLOCK_SKEW)


def generate() -> KeyPair:
    return key_pairs.generate(settings.KEY_ALGORITHM, rsa_bits=settings.KEY_RSA_BITS)


def insert(fresh: KeyPair, *, sequence: int, now: datetime, signs_from: datetime | None, event: str, actor: Actor = NOBODY) -> SigningKey:
    """Publish a key. `event`: created or imported. Raises IntegrityError when another process took the sequence just now."""
    row = SigningKey.objects.create(
        sequence=sequence,
        kid=fresh.kid,
        thumbprint=fresh.thumbprint,
        algorithm=fresh.algorithm,
        public_jwk=fresh.public_jwk,
        private_key=key_pairs.seal(fresh),
        created_at=now,
        published_at=now,
        signs_from=signs_from,
        longest_lifetime=_longest_lifetime(),
    )
    audit.record(f"signing_key:schedule:{event}", target=row.kid, detail={"algorithm": row.algorithm}, **actor)
    return row


def begin(row: SigningKey, *, signs_from: datetime, actor: Actor, reason: str) -> None:
    """Settle when a standby signs."""
    row.signs_from = signs_from
    row.save(update_fields=("signs_from",))
    detail = {"signs_from": signs_from.isoformat(timespec="seconds"), "reason": reason}
    audit.record("signing_key:schedule:rotated", target=row.kid, detail=detail, **actor)


def revoke(row: SigningKey, *, now: datetime, actor: Actor, reason: str) -> None:
    row.revoked_at, row.revoked_reason, row.private_key = now, reason[:200], ""
    row.save(update_fields=("revoked_at", "revoked_reason", "private_key"))
    audit.record("signing_key:schedule:revoked", target=row.kid, detail={"reason": reason}, **actor)


def erase(row: SigningKey) -> None:
    """Forget the private key. Of several processes that come to it one records it."""
    if SigningKey.objects.filter(pk=row.pk).exclude(private_key="").update(private_key=""):
        audit.record("signing_key:private_key:erased", target=row.kid)


def lengthen(kid: str, *, lifetime: timedelta) -> None:
    """Let a key sign tokens that live so long: it stays published for as much longer."""
    seconds = int(lifetime.total_seconds())
    SigningKey.objects.filter(kid=kid, longest_lifetime__lt=seconds).update(longest_lifetime=seconds)


def reencrypt(row: SigningKey) -> bool:
    """Under the first of KEY_ENCRYPTION_KEYS; False when it is already. Raises encryption.Undecryptable."""
    unseal(row)
    renewed = encryption.renew(row.private_key, purpose=key_pairs.PURPOSE)
    if renewed is None:
        return False
    row.private_key = renewed
    row.save(update_fields=("private_key",))
    audit.record("signing_key:private_key:reencrypted", target=row.kid)
    return True


def unseal(row: SigningKey) -> PrivateKey:
    """The private key. Raises encryption.Undecryptable with a message for the operator."""
    try:
        return key_pairs.unseal(row.private_key, thumbprint=row.thumbprint)
    except encryption.Undecryptable:
        raise encryption.Undecryptable(
            _(
                "The signing key %(kid)s does not open with AUTH_SERVICE__KEY_ENCRYPTION_KEYS. "
                "Put the value that it was encrypted with back, behind the new one."
            )
            % {"kid": row.kid}
        ) from None


def next_sequence(rows: Sequence[SigningKey]) -> int:
    return max((row.sequence for row in rows), default=0) + 1


def _longest_lifetime() -> int:
    """In seconds, of the access tokens that are made today."""
    of_clients: int | None = Client.objects.aggregate(longest=Max("access_token_lifetime"))["longest"]
    return max(int(settings.ACCESS_TOKEN_LIFETIME.total_seconds()), of_clients or 0)
