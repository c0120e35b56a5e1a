"""Issue an authorization code, and exchange it once for a session (RFC 6749 §4.1, RFC 7636 §4.6, RFC 9700 §4.5)."""

import base64
import hashlib
import hmac
import logging
import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction

from accounts import audit, roles
from accounts.browser_proof import Proof
from accounts.clock import Instant
from accounts.models import User
from accounts.reconnect import with_reconnect
from oauth import sessions
from oauth.authorization_request import AuthorizationRequest
from oauth.errors import InvalidGrant, InvalidRequest, InvalidTarget
from oauth.models import AuthorizationCode, Client
from oauth.session_rows import Origin

LIFETIME = timedelta(seconds=60)
KEEP_USED = timedelta(days=1)
PRUNE_BATCH = 1000
REUSED = "authorization_code_reused"
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds what the client sent.
class Exchange:
    """What a client sends to get its tokens; what it left out is empty."""

    code: str
    redirect_uri: str
    code_verifier: str
    resource: str


@dataclass(frozen=True, repr=False)
class Redeemed:
    issued: sessions.Issued
    nonce: str


class _Lost(Exception):
    """Another exchange of the same code was first."""


def issue(asked: AuthorizationRequest, *, user: User, proof: Proof) -> str:
    """The code for a request that the user has allowed. Only its digest is stored."""
    value = secrets.token_urlsafe(32)
    AuthorizationCode.objects.create(
        digest=_digest(value),
        client=asked.client,
        user=user,
        user_epoch=user.session_epoch,
        redirect_uri=asked.sent_redirect_uri,
        scope=asked.scope,
        audience=asked.audience,
        code_challenge=asked.code_challenge,
        nonce=asked.nonce,
        auth_time=proof.auth_time,
        amr=proof.amr,
        expires_at=Instant(plus=LIFETIME),
    )
    return value


def redeem(sent: Exchange, *, client: Client, origin: Origin) -> Redeemed:
    """The session that the code stands for, opened now; a code that was used already ends the session that it made.

    Raises InvalidGrant, InvalidRequest, InvalidTarget. What is refused for another reason leaves the code as it was.
    """
    code = _find(sent.code)
    if code is None:
        raise InvalidGrant("code unknown")
    # SECURITY: a code of another client is none; and it stays as it was, or whoever sees one could spoil it.
    if code.client_id != client.pk:
        raise InvalidGrant("code of another client", user_id=code.user_id)
    if code.session_id is not None:
        raise _reused(code, client=client, origin=origin)
    # SECURITY: or a code that was intercepted on its way to one address is spent from another (RFC 6749 §4.1.3).
    if sent.redirect_uri != code.redirect_uri:
        raise InvalidGrant("redirect_uri is not that of the request", user_id=code.user_id)
    _ensure_verified(code, sent.code_verifier)
    if sent.resource and client.audience_of(sent.resource) != (code.audience or client.token_audience):
        raise InvalidTarget("resource is not that of the request", user_id=code.user_id)
    try:
        return Redeemed(_open(code, client=client, origin=origin), code.nonce)
    except _Lost:
        raise _lost(code, client=client, origin=origin) from None


def prune() -> int:
    """Remove a batch of codes that nobody can use any more, and whose second use would end nothing that is young; how many were removed."""
    over = AuthorizationCode.objects.filter(expires_at__lt=Instant(plus=-KEEP_USED)).values("pk")[:PRUNE_BATCH]
    removed, _ = AuthorizationCode.objects.filter(pk__in=[row["pk"] for row in over]).delete()
    return removed


def _open(code: AuthorizationCode, *, client: Client, origin: Origin) -> sessions.Issued:
    with transaction.atomic():
        # SECURITY: as the user stands now: disabled, or signed out everywhere, since they allowed it.
        may_sign_in = User.objects.filter(pk=code.user_id, is_active=True, awaits_confirmation=False, session_epoch=code.user_epoch)
        user = may_sign_in.with_role_names().first()
        if user is None:
            raise InvalidGrant("user disabled or signed out since the code was issued", user_id=code.user_id)
        issued, session = sessions.new(
            user,
            role_names=roles.parse_names(user.role_names_json),
            client=client,
            scope=code.scope,
            audience=code.audience,
            amr=code.amr,
            auth_time=code.auth_time,
            origin=origin,
        )
        session.execute()
        # SECURITY: the database decides which of several exchanges is the one; the others' sessions go with their transactions.
        waiting = AuthorizationCode.objects.filter(pk=code.pk, session_id=None, expires_at__gt=Instant())
        if not waiting.update(session_id=issued.claims.sid):
            raise _Lost
        _record("redeemed", code, session_id=issued.claims.sid, client=client, origin=origin)
    return issued


def _lost(code: AuthorizationCode, *, client: Client, origin: Origin) -> InvalidGrant:
    now = AuthorizationCode.objects.filter(pk=code.pk).first()
    if now is None or now.session_id is None:
        return InvalidGrant("code expired", user_id=code.user_id)
    return _reused(now, client=client, origin=origin)


def _reused(code: AuthorizationCode, *, client: Client, origin: Origin) -> InvalidGrant:
    """End the session that the code made (RFC 6749 §4.1.2): of two who had it, one had no right to."""
    refusal = InvalidGrant("code reused", user_id=code.user_id)
    assert code.session_id is not None  # noqa: S101 - for the type checker
    with transaction.atomic():
        # SECURITY: whoever was first may have been the thief.
        if sessions.revoke(code.session_id, reason=REUSED):
            _record("reused", code, session_id=code.session_id, client=client, origin=origin, error_id=refusal.error_id)
    return refusal


def _ensure_verified(code: AuthorizationCode, verifier: str) -> None:
    if not code.code_challenge:
        # SECURITY: a verifier that nobody asked for shows that the challenge was taken out of the request (RFC 9700 §4.8.2).
        if verifier:
            raise InvalidGrant("code_verifier for a code without a challenge", user_id=code.user_id)
        return
    if not verifier:
        raise InvalidRequest("The parameter code_verifier is missing or empty.", user_id=code.user_id)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode("ascii")
    if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(challenge, code.code_challenge):
        raise InvalidGrant("code_verifier is not that of the challenge", user_id=code.user_id)


def _find(value: str) -> AuthorizationCode | None:
    return with_reconnect(AuthorizationCode.objects.filter(pk=_digest(value)).first)


def _record(outcome: str, code: AuthorizationCode, *, session_id: uuid.UUID, client: Client, origin: Origin, error_id: str = "") -> None:
    audit.record(
        f"session:authorization_code:{outcome}",
        actor_id=code.user_id if outcome == "redeemed" else None,
        target=session_id,
        client_id=client.client_id,
        address=origin.address,
        user_agent=origin.user_agent,
        error_id=error_id,
        detail={"user": str(code.user_id)},
    )


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()
