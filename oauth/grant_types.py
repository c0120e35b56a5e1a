"""One function per grant_type, and the table of them (RFC 6749 §4.1, §4.3, §4.4, §6; RFC 8628 §3.4).

A grant takes the form and the authenticated client and returns what the client gets. Whatever signs
somebody in ends in `sessions.new`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts import audit, authentication, lockout
from accounts.authentication import Authenticated, Door
from accounts.statements import Insert
from oauth import access_tokens, authorization_codes, clients, device_codes, id_tokens, keys, scopes, sessions
from oauth.access_tokens import Signer
from oauth.authorization_codes import Exchange
from oauth.errors import InvalidGrant, InvalidScope, InvalidTarget, MfaRequired, OAuthError
from oauth.http import Form
from oauth.models import AUTHORIZATION_CODE, CLIENT_CREDENTIALS, DEVICE_CODE, PASSWORD, REFRESH_TOKEN, Client
from oauth.refresh_tokens import RefreshToken
from oauth.session_rows import Origin
from oauth.sign_in import as_refusal, verify_password


@dataclass(frozen=True)
class TokenRequest:
    form: Form
    client: Client
    origin: Origin
    idempotency_key: str
    now: datetime
    presented: RefreshToken | None = None  # read already, where it is one that we issued


@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds tokens.
class TokenResponse:
    """RFC 6749 §5.1, OpenID Connect Core 1.0 §3.1.3.3; `expires_in` in seconds."""

    access_token: str
    expires_in: int
    scope: str
    refresh_token: str | None = None
    id_token: str | None = None

    def as_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {"access_token": self.access_token, "token_type": "Bearer", "expires_in": self.expires_in}
        if self.refresh_token is not None:
            body["refresh_token"] = self.refresh_token
        if self.id_token is not None:
            body["id_token"] = self.id_token
        return body | {"scope": self.scope}


GrantType = Callable[[TokenRequest], TokenResponse]


def password(request: TokenRequest) -> TokenResponse:
    """Sign a user in by user name or e-mail and password (RFC 6749 §4.3). Raises AccountLocked, InvalidGrant, InvalidScope, MfaRequired."""
    signer = keys.ring.signer(request.client.access_lifetime)
    identifier, secret = request.form["username"], request.form["password"]
    # Before the hash: a scope refused only to who has the right password would tell that it is right.
    scope = grantable_scope(request, withheld=scopes.NEVER_BY_PASSWORD)
    try:
        authenticated = verify_password(identifier, password=secret, door=_door(request))
        _ensure_password_suffices(authenticated)
        issued, session = sessions.new(
            authenticated.user,
            role_names=authenticated.role_names,
            client=request.client,
            scope=scope,
            amr="pwd",
            origin=request.origin,
            auth_time=request.now,
        )
        event = _sign_in_event(request, "succeeded", actor_id=authenticated.user.pk, target=issued.claims.sid)
        authentication.record_sign_in(authenticated, session, event)
    except authentication.AuthenticationFailed as failure:
        refusal = InvalidGrant(failure.reason, user_id=failure.user.pk if failure.user else None)
        if failure.to_record:
            _record_failed_sign_in(request, refusal, detail=failure.detail)
        raise refusal from failure
    except lockout.Locked as locked:  # while the password was being verified
        raise as_refusal(locked) from locked
    except MfaRequired as refused:
        _record_failed_sign_in(request, refused, detail={"reason": refused.reason, "count": 1})
        raise
    return _respond(issued, request=request, signer=signer)


def refresh_token(request: TokenRequest) -> TokenResponse:
    """Spend a refresh token (RFC 6749 §6). Raises InvalidGrant, InvalidScope."""
    signer = keys.ring.signer(request.client.access_lifetime)  # In hand before the token is spent.
    issued = sessions.refresh(
        request.form["refresh_token"],
        client=request.client,
        scope=request.form.optional("scope"),
        resource=request.form.optional("resource"),
        idempotency_key=request.idempotency_key,
        origin=request.origin,
        presented=request.presented,
    )
    return _respond(issued, request=request, signer=signer)


def authorization_code(request: TokenRequest) -> TokenResponse:
    """Exchange a code that the user's browser brought (RFC 6749 §4.1.3). Raises InvalidGrant, InvalidRequest, InvalidTarget."""
    signer = keys.ring.signer(request.client.access_lifetime)  # In hand before the code is spent.
    form = request.form
    sent = Exchange(form["code"], form.optional("redirect_uri"), form.optional("code_verifier"), form.optional("resource"))
    redeemed = authorization_codes.redeem(sent, client=request.client, origin=request.origin)
    return _respond(redeemed.issued, request=request, signer=signer, nonce=redeemed.nonce)


def client_credentials(request: TokenRequest) -> TokenResponse:
    """A token of the client's own (RFC 6749 §4.4): no user, no session, no refresh token. Raises InvalidClient, InvalidScope."""
    signer = keys.ring.signer(request.client.access_lifetime)
    scope = grantable_scope(request, withheld=frozenset())
    clients.ensure_active(request.client)
    audience = request.client.audience_of(request.form.optional("resource") or request.client.token_audience)
    # SECURITY: a client's own token is good for its resources alone (RFC 8707 §2.2).
    if audience is None:
        raise InvalidTarget("resource not among the client's")
    access_token = _mint(request, signer=signer, audience=audience, subject=request.client.client_id, scope=scope, session=None)
    return TokenResponse(access_token, _seconds(request), scope)


def device_code(request: TokenRequest) -> TokenResponse:
    """Let a device in that somebody approved (RFC 8628 §3.4). Raises as `device_codes.redeem`."""
    signer = keys.ring.signer(request.client.access_lifetime)  # In hand before the code is spent.
    issued = device_codes.redeem(request.form["device_code"], client=request.client, origin=request.origin)
    return _respond(issued, request=request, signer=signer)


GRANT_TYPES: dict[str, GrantType] = {
    PASSWORD: password,
    REFRESH_TOKEN: refresh_token,
    AUTHORIZATION_CODE: authorization_code,
    CLIENT_CREDENTIALS: client_credentials,
    DEVICE_CODE: device_code,
}


def offered() -> tuple[str, ...]:
    """The grant types that are switched on, as the metadata lists them."""
    return tuple(filter(is_offered, GRANT_TYPES))


def is_offered(grant_type: str) -> bool:
    return grant_type in GRANT_TYPES and (grant_type != PASSWORD or bool(settings.PASSWORD_GRANT))


def grantable_scope(request: TokenRequest, *, withheld: frozenset[str]) -> str:
    """What was asked for, or the client's defaults when nothing was. Raises InvalidScope."""
    try:
        asked = scopes.parse(request.form.optional("scope") or request.client.default_scopes)
    except scopes.Malformed:
        raise InvalidScope("scope is malformed") from None
    if not asked:
        raise InvalidScope("no scope asked for, and the client has no default")
    # SECURITY: the client's list bounds every token, whoever signs in through it.
    if not asked <= request.client.allowed_scope_set - withheld:
        raise InvalidScope("scope not allowed to this client and grant")
    return scopes.format(asked)


def _door(request: TokenRequest) -> Door:
    origin = request.origin
    return Door("token", address=origin.address, user_agent=origin.user_agent, client_id=request.client.client_id)


def _ensure_password_suffices(authenticated: Authenticated) -> None:
    # SECURITY: this grant has nothing else to ask for: it would be the way around the second factor.
    if authenticated.user.has_second_factor:
        _refuse_password_alone(authenticated, "second factor")
    # SECURITY: who can change the server needs more than a password.
    if authenticated.user.is_staff and not settings.DEVELOPMENT:
        _refuse_password_alone(authenticated, "staff account")


def _refuse_password_alone(authenticated: Authenticated, reason: str) -> None:
    authentication.abandon(authenticated)
    raise MfaRequired(reason, user_id=authenticated.user.pk)


def _record_failed_sign_in(request: TokenRequest, refusal: OAuthError, *, detail: dict[str, Any]) -> None:
    _sign_in_event(request, "failed", target=refusal.user_id or "", error_id=refusal.error_id, detail=detail).execute()


def _sign_in_event(request: TokenRequest, outcome: str, **fields: Any) -> Insert:
    return audit.row(
        f"user:sign_in:{outcome}",
        client_id=request.client.client_id,
        address=request.origin.address,
        user_agent=request.origin.user_agent,
        **fields,
    )


def _respond(issued: sessions.Issued, *, request: TokenRequest, signer: Signer, nonce: str = "") -> TokenResponse:
    client, granted = request.client, scopes.parse(issued.scope)
    access_token = _mint(
        request,
        signer=signer,
        audience=issued.audience or client.token_audience,
        subject=str(issued.user_id),
        scope=issued.scope,
        session=issued.claims,
    )
    id_token = None
    if scopes.OPENID in granted:
        id_token = id_tokens.mint(
            signer=signer,
            issuer=settings.JWT_ISSUER,
            client_id=client.client_id,
            user_id=issued.user_id,
            session=issued.claims,
            nonce=nonce,
            access_token=access_token,
            lifetime=client.access_lifetime,
            now=request.now,
        )
    refresh_token = issued.refresh_token_value if _may_refresh(client, granted) else None
    return TokenResponse(access_token, _seconds(request), issued.scope, refresh_token, id_token)


def _may_refresh(client: Client, granted: frozenset[str]) -> bool:
    """A client that may have offline_access, and signs in by OpenID Connect, asks for it (OpenID Connect Core 1.0 §11)."""
    has_to_ask = scopes.OPENID in granted and scopes.OFFLINE_ACCESS in client.allowed_scope_set
    return client.allows_grant_type(REFRESH_TOKEN) and (not has_to_ask or scopes.OFFLINE_ACCESS in granted)


def _seconds(request: TokenRequest) -> int:
    return int(request.client.access_lifetime.total_seconds())


def _mint(
    request: TokenRequest, *, signer: Signer, audience: str, subject: str, scope: str, session: access_tokens.SessionClaims | None
) -> str:
    return access_tokens.mint(
        signer=signer,
        issuer=settings.JWT_ISSUER,
        audience=audience,
        subject=subject,
        client_id=request.client.client_id,
        scope=scope,
        lifetime=request.client.access_lifetime,
        now=request.now,
        session=session,
    )
