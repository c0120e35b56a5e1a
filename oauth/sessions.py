"""Open a session at sign-in, refresh it, revoke it (RFC 6749 §6, RFC 9700 §4.14).

A refresh is one conditional UPDATE by primary key: the database decides which of several wins. Only
when no row was updated, the session is looked at to tell why.
"""

import hmac
import logging
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction

from accounts import audit, clock, metrics, roles
from accounts.actors import Actor
from accounts.addresses import network_of
from accounts.models import User
from accounts.reconnect import with_reconnect
from accounts.statements import Insert
from oauth import foreign_tokens, presented_tokens, refresh_tokens, scopes, session_rows
from oauth.access_tokens import SessionClaims
from oauth.errors import InvalidGrant, InvalidScope, InvalidTarget
from oauth.models import Client, Session
from oauth.refresh_tokens import RefreshToken
from oauth.session_rows import Attempt, Origin, SessionRow

REUSED = "refresh_token_reused"
ENDED_THERE = "ended_at_the_older_service"  # its token was spent or revoked there, after it had come here
RETRIED, OVERLAPPED = "session:refresh:retried", "session:refresh:overlapped"
_TRIES = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds a refresh token.
class Issued:
    """A session's state after it was opened or refreshed, for minting; `refresh_token_value` is for the client alone.

    `audience` is empty when the client's own is meant.
    """

    user_id: uuid.UUID
    scope: str
    audience: str
    claims: SessionClaims
    refresh_token_value: str


def new(
    user: User,
    *,
    role_names: Sequence[str],
    client: Client,
    scope: str,
    amr: str,
    origin: Origin,
    auth_time: datetime,
    audience: str = "",
) -> tuple[Issued, Insert]:
    """A new session of this user, who proved at `auth_time` who they are, through this client, and its row, which is not written yet."""
    token = RefreshToken(secrets.token_bytes(refresh_tokens.HANDLE_BYTES), generation=0)
    lifetime, cap = client.refresh_lifetime, settings.SESSION_MAX_AGE
    row = session_rows.new(
        token.session_id,
        user=user,
        client=client,
        scope=scope,
        audience=audience,
        auth_time=auth_time,
        amr=amr,
        expires_after=min(lifetime, cap or lifetime),
        ends_after=cap,
        origin=origin,
    )
    claims = SessionClaims(sid=token.session_id, roles=role_names, auth_time=auth_time, amr=amr.split())
    return Issued(user.pk, scope, audience, claims, refresh_tokens.encode(token, keys=settings.TOKEN_KEYS)), row


def refresh(
    value: str,
    *,
    client: Client,
    scope: str,
    idempotency_key: str,
    origin: Origin,
    resource: str = "",
    presented: RefreshToken | None = None,
) -> Issued:
    """Spend a refresh token for its successor.

    `scope` is what was asked for, empty for all that was granted; `resource` (RFC 8707) and `idempotency_key` are empty when the
    client sent none; `presented` is what `value` says, where somebody has read it. Reuse ends the session; a session that is
    behind the token (the database lost writes) catches up. Raises InvalidGrant, InvalidScope, InvalidTarget.
    """
    try:
        token = presented or presented_tokens.read(value)
    except refresh_tokens.Malformed as error:
        raise InvalidGrant(f"refresh token {error}") from None
    if token.generation >= refresh_tokens.MAX_GENERATION:
        raise InvalidGrant("refresh token is of the last generation")
    attempt = _attempt(token, client=client, idempotency_key=idempotency_key, origin=origin)

    if scope or resource:
        _ensure_unspent_within_grant(attempt, asked=scope, resource=resource)
    return _issue(_spend(attempt), token=token, client=client, asked=scope)


def revoke(session_id: uuid.UUID, *, reason: str, client: Client | None = None) -> bool:
    """End a session, once: True when this call did it. For a client only one of its own, and none that has expired."""
    sessions = Session.objects.filter(pk=session_id, revoked_at=None)
    if client is not None:
        # SECURITY: or one client ends another's. Own columns: PostgreSQL checks them again after it has waited for the row.
        sessions = sessions.filter(client=client, expires_at__gt=clock.Instant())
    ended = with_reconnect(lambda: sessions.update(revoked_at=clock.Instant(), revoked_reason=reason))
    return ended == 1


def end(session: Session, *, actor: Actor, reason: str) -> bool:
    """End a session for a member of staff, and record it: True when this call did it."""
    with transaction.atomic():
        ended = revoke(session.pk, reason="ended_by_staff")
        if ended:
            detail = {"by": "staff", "user": str(session.user_id), "reason": reason}
            audit.record("session:revocation:succeeded", target=session.pk, client_id=session.client.client_id, detail=detail, **actor)
    return ended


def _attempt(token: RefreshToken, *, client: Client, idempotency_key: str, origin: Origin) -> Attempt:
    # Without a key a random name stands for this request: if its answer is lost between the database
    # and us, the repetition inside this request recognises its own commit.
    name = f"key {idempotency_key}" if idempotency_key else f"request {secrets.token_hex(16)}"
    digests = refresh_tokens.retry_digests(token, client_id=client.client_id, attempt=name, keys=settings.TOKEN_KEYS)
    return Attempt(token, client, origin, digests, has_key=bool(idempotency_key))


def _ensure_unspent_within_grant(attempt: Attempt, *, asked: str, resource: str) -> None:
    """Raise InvalidScope or InvalidTarget before anything is spent, so that the refusal leaves the token as it was.

    Not for a token that was spent already: what is to be said of it, `_spend` says.
    """
    seen = session_rows.look(attempt)
    if seen is not None and seen.client_pk == attempt.client.pk and seen.generation <= attempt.token.generation:
        _scope_for(seen, client=attempt.client, asked=asked)
        # SECURITY: a refresh never moves a session to another audience (RFC 8707 §2.2).
        if resource and attempt.client.audience_of(resource) != (seen.audience or attempt.client.token_audience):
            raise InvalidTarget("resource asked for at refresh is not the session's", user_id=seen.user_id)


def _scope_for(session: SessionRow, *, client: Client, asked: str) -> str:
    """The scope of the access token: what is asked for, within what was granted and the client may have today. Raises InvalidScope."""
    grant = scopes.parse(session.scope) & client.allowed_scope_set
    if not asked:
        return scopes.format(grant)
    try:
        wanted = scopes.parse(asked)
    except scopes.Malformed:
        raise InvalidScope("scope is malformed") from None
    # SECURITY: a refresh never widens what the user granted.
    if not wanted <= grant:
        raise InvalidScope("scope asked for at refresh is beyond the grant", user_id=session.user_id)
    return scopes.format(wanted)


def _issue(session: SessionRow, *, token: RefreshToken, client: Client, asked: str) -> Issued:
    # SECURITY: what staff took from the client is taken from its sessions too.
    if session.audience and client.audience_of(session.audience) is None:
        raise InvalidGrant("the session's resource is not the client's any more", user_id=session.user_id)
    return Issued(
        user_id=session.user_id,
        scope=_scope_for(session, client=client, asked=asked),
        audience=session.audience,
        claims=SessionClaims(
            sid=token.session_id, roles=roles.parse_names(session.roles), auth_time=session.auth_time, amr=session.amr.split()
        ),
        refresh_token_value=refresh_tokens.encode(token.successor(), keys=settings.TOKEN_KEYS),
    )


def _spend(attempt: Attempt) -> SessionRow:
    """Advance the session past the token's generation, or find a mercy that gives the successor again. Raises InvalidGrant."""
    expected = attempt.token.generation
    for _ in range(_TRIES):
        advanced = session_rows.advance(attempt, expected=expected)
        if advanced is not None:
            metrics.ROTATIONS.inc()
            if expected < attempt.token.generation:
                _report_catch_up(attempt, advanced, gap=attempt.token.generation - expected)
            return advanced
        seen = session_rows.look(attempt)
        if seen is None:
            raise InvalidGrant("session unknown")
        _ensure_not_refused(attempt, seen)
        if seen.generation > attempt.token.generation:
            return seen
        expected = seen.generation
    raise InvalidGrant("session kept changing")


def _ensure_not_refused(attempt: Attempt, seen: SessionRow) -> None:
    """Raise InvalidGrant unless a mercy applies, or the session stands behind the token and may catch up with it."""
    if seen.client_pk != attempt.client.pk:
        # SECURITY: no one but its own client may end a session, or a stolen token would be a weapon.
        refusal = InvalidGrant("refresh token of another client", user_id=seen.user_id)
        foreign_tokens.record(
            attempt.token.session_id,
            owner_id=seen.user_id,
            client=attempt.client,
            origin=attempt.origin,
            error_id=refusal.error_id,
            generation=attempt.token.generation,
            with_key=attempt.has_key,
        )
        raise refusal
    if seen.is_revoked:
        raise InvalidGrant("session revoked", user_id=seen.user_id)
    ahead = attempt.token.generation - seen.generation
    mercy = _mercy(attempt, seen) if ahead == -1 else None
    if ahead < 0 and mercy is None:
        refusal = InvalidGrant("refresh token reused", user_id=seen.user_id)
        _end_reused(attempt, seen, error_id=refusal.error_id)
        raise refusal
    if not seen.is_live:
        raise InvalidGrant("session expired, or its user or client disabled", user_id=seen.user_id)
    if mercy is not None:
        _record(mercy, attempt, seen)
        (metrics.RETRIES if mercy == RETRIED else metrics.OVERLAPS).inc()
    # SECURITY: bounded, so that a stolen key cannot name a generation far ahead.
    elif ahead > settings.REFRESH_CATCH_UP_GENERATIONS:
        raise InvalidGrant(f"refresh token is {ahead} generations ahead of the session", user_id=seen.user_id)


def _end_reused(attempt: Attempt, seen: SessionRow, *, error_id: str) -> None:
    """End the session and record it, in one transaction: a process that dies in between leaves both to the next try."""
    try:
        with transaction.atomic():
            # SECURITY: whatever the age of the token, or a thief's copy goes on.
            if revoke(attempt.token.session_id, reason=REUSED):
                metrics.REUSES.inc()  # first: the record may fail, and the session ends all the same
                _record("session:refresh_token:reused", attempt, seen, error_id=error_id)
    except (DatabaseError, InterfaceError):
        # SECURITY: the record may be lost, the end may not.
        revoke(attempt.token.session_id, reason=REUSED)
        logger.exception("a reused refresh token ended its session without a record", extra={"sid": str(attempt.token.session_id)})
        raise


def _mercy(attempt: Attempt, seen: SessionRow) -> str | None:
    """The audit event of the mercy that an honest client has a claim to, for the live session's immediate predecessor."""
    if seen.is_in_retry_window and any(hmac.compare_digest(seen.retry_digest or b"", digest) for digest in attempt.retry_digests):
        return RETRIED
    # The setting itself is asked too: while a clock steps back, every instant lies in the last zero seconds.
    has_overlap = bool(attempt.client.refresh_overlap) and seen.is_in_overlap
    # SECURITY: a copy of the token that turns up in another network is no parallel request of the same app.
    if has_overlap and _is_same_network(seen.address, attempt.origin.address):
        return OVERLAPPED
    return None


def _is_same_network(one: str | None, other: str | None) -> bool:
    network = network_of(one)
    return network is not None and network == network_of(other)


def _report_catch_up(attempt: Attempt, advanced: SessionRow, *, gap: int) -> None:
    """The tag proves that we issued this generation, so the database had lost writes (a failover)."""
    metrics.CATCH_UPS.inc()
    logger.error(
        "a session was behind its refresh token: the database has lost writes", extra={"sid": str(attempt.token.session_id), "gap": gap}
    )
    _record("session:refresh:caught_up", attempt, advanced, gap=gap)


def _record(event: str, attempt: Attempt, seen: SessionRow, *, error_id: str = "", **detail: Any) -> None:
    audit.record(
        event,
        actor_id=seen.user_id,
        target=attempt.token.session_id,
        client_id=attempt.client.client_id,
        address=attempt.origin.address,
        user_agent=attempt.origin.user_agent,
        error_id=error_id,
        detail={"generation": attempt.token.generation, "with_key": attempt.has_key, **detail},
    )
