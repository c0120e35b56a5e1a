"""Each refresh token that works there becomes a session here, whose first token it is."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.conf import settings

from accounts.clock import Instant
from accounts.models import User
from oauth import scopes
from oauth.models import Client, Session
from oauth.older_service.database import OlderDatabase, OlderToken
from oauth.older_service.refresh_tokens import first_of
from oauth.sessions import ENDED_THERE

AMR = "pwd"  # it knew nothing else
BATCH = 500


@dataclass
class Counts:
    opened: int = 0
    there: int = 0
    ended: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def open_all(database: OlderDatabase, *, now: datetime, progress: Callable[[int], None]) -> Counts:
    """A session for each that has none yet, in the caller's transaction; whoever it belongs to has to be here and active."""
    counts, done = Counts(), 0
    clients = dict(Client.objects.values_list("client_id", "pk"))
    tokens = database.live_tokens(now=now)
    while batch := list(islice(tokens, BATCH)):
        _open(batch, clients=clients, counts=counts)
        done += len(batch)
        progress(done)
    return counts


def end_those_ended_there(database: OlderDatabase, *, since: datetime, now: datetime) -> int:
    """End the sessions of tokens that were spent or revoked there since the last import, unless they have been used here."""
    ended = 0
    digests = database.tokens_ended_since(since, now=now)
    while batch := list(islice(digests, BATCH)):
        unused = Session.objects.filter(pk__in=[first_of(digest).session_id for digest in batch], generation=0, revoked_at=None)
        ended += unused.update(revoked_at=Instant(), revoked_reason=ENDED_THERE)
    return ended


def _open(batch: list[OlderToken], *, clients: dict[str, int], counts: Counts) -> None:
    ids = {token.jti_digest: first_of(token.jti_digest).session_id for token in batch}
    there = {*Session.objects.filter(pk__in=ids.values()).values_list("pk", flat=True)}
    epochs = dict(User.objects.filter(pk__in={token.user_id for token in batch}, is_active=True).values_list("pk", "session_epoch"))
    made = list(_made(batch, ids=ids, there=there, epochs=epochs, clients=clients, counts=counts))
    Session.objects.bulk_create(made)
    counts.opened += len(made)


def _made(
    batch: list[OlderToken],
    *,
    ids: dict[bytes, UUID],
    there: set[UUID],
    epochs: dict[UUID, int],
    clients: dict[str, int],
    counts: Counts,
) -> Iterator[Session]:
    for token in batch:
        if ids[token.jti_digest] in there:
            counts.there += 1
        elif token.user_id not in epochs:
            counts.left_out["of users who are disabled or not here"] += 1
        elif token.client_id not in clients:
            counts.left_out["of clients that are not here"] += 1
        elif (scope := _granted(token)) is None:
            counts.left_out["with a scope that is none (RFC 6749 §3.3)"] += 1
        else:
            ends_at = None if settings.SESSION_MAX_AGE is None else token.began_at + settings.SESSION_MAX_AGE
            yield Session(
                id=ids[token.jti_digest],
                user_id=token.user_id,
                user_epoch=epochs[token.user_id],
                client_id=clients[token.client_id],
                scope=scope,
                created_at=token.began_at,
                refreshed_at=token.created_at,
                expires_at=min(token.expires_at, ends_at or token.expires_at),
                ends_at=ends_at,
                auth_time=token.began_at,
                amr=AMR,
            )


def _granted(token: OlderToken) -> str | None:
    """The scope of its session; None when it is malformed."""
    try:
        granted = scopes.parse(" ".join(token.scopes))
    except scopes.Malformed:
        return None
    # SECURITY: there was no grant but the password, which never gives the scope of administrators.
    return scopes.format(granted - scopes.NEVER_BY_PASSWORD)
