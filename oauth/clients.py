"""Client authentication (RFC 6749 §2.3) and the secrets behind it."""

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_to_bytes

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import audit, clock
from accounts.actors import NOBODY, Actor
from accounts.reconnect import with_reconnect
from oauth import foreign_secrets
from oauth.errors import InvalidClient, InvalidRequest
from oauth.http import Form
from oauth.models import Client

CACHE_SECONDS = 1.0
CACHE_SIZE = 1024


@dataclass(frozen=True)
class Registration:
    """A client, and its secret where it has a new one: this is the only time that it is seen."""

    client: Client
    secret_value: str | None

    def __repr__(self) -> str:
        return f"Registration(client={self.client!r})"


def register(
    client_id: str,
    *,
    name: str,
    is_public: bool,
    grant_types: Sequence[str],
    allowed_scopes: str,
    default_scopes: str,
    refresh_overlap_seconds: int | None = None,
    may_introspect: bool = False,
    served_audiences: str = "",
    redirect_uris: str = "",
    post_logout_redirect_uris: str = "",
    resources: str = "",
    require_pkce: bool = True,
    skip_authorization: bool = False,
    actor: Actor = NOBODY,
    reason: str = "",
) -> Registration:
    """Make a client. Raises ValidationError, also when the client_id is taken."""
    client = Client(
        client_id=client_id,
        name=name,
        client_type=Client.CLIENT_PUBLIC if is_public else Client.CLIENT_CONFIDENTIAL,
        grant_types=list(grant_types),
        allowed_scopes=allowed_scopes,
        default_scopes=default_scopes,
        refresh_overlap_seconds=refresh_overlap_seconds,
        may_introspect=may_introspect,
        served_audiences=served_audiences,
        redirect_uris=redirect_uris,
        post_logout_redirect_uris=post_logout_redirect_uris,
        resources=resources,
        require_pkce=require_pkce,
        skip_authorization=skip_authorization,
    )
    value = None if is_public else _new_secret()
    if value is not None:
        client.secret_digest, client.secret_created_at = digest(value), clock.now()
    client.full_clean()
    try:
        with transaction.atomic():
            client.save()
            audit.record("client:registration:created", client_id=client_id, detail={"reason": reason} if reason else None, **actor)
    except IntegrityError:
        raise ValidationError({"client_id": "Another client took this client_id just now."}) from None
    return Registration(client, value)


class SecretChanged(Exception):
    """The secret is not the one any more that the caller decided on."""


def rotate_secret(client: Client, *, keep_old_for: timedelta, actor: Actor = NOBODY, reason: str = "") -> Registration:
    """Give a confidential client a new secret; the one before it works for `keep_old_for` more.

    Raises SecretChanged when it was rotated since `client` was read: two people at once rotate once, and so does a page that is sent twice.
    """
    value, now = _new_secret(), clock.now()
    with transaction.atomic():
        locked = Client.objects.select_for_update().get(pk=client.pk)
        if locked.is_public:
            raise ValueError("a public client has no secret")
        if locked.secret_created_at != client.secret_created_at:
            raise SecretChanged
        locked.previous_secret_digest, locked.previous_secret_expires_at = locked.secret_digest, now + keep_old_for
        # SECURITY: a hash from elsewhere counts as the secret before, once, or the rotation after next revives it (foreign_secrets.py).
        if locked.secret_digest is not None or not keep_old_for:
            locked.foreign_secret_hash = ""
        locked.secret_digest, locked.secret_created_at = digest(value), now
        current = ("secret_digest", "secret_created_at", "foreign_secret_hash")
        locked.save(update_fields=(*current, "previous_secret_digest", "previous_secret_expires_at"))
        detail = {"old_secret_seconds": int(keep_old_for.total_seconds())} | ({"reason": reason} if reason else {})
        audit.record("client:secret:rotated", client_id=locked.client_id, detail=detail, **actor)
    cache.forget()
    return Registration(locked, value)


def withdraw_secret(client: Client, *, made_by: datetime, until: datetime) -> bool:
    """Let the secret that the client had at `made_by` work until then and no longer, without giving it another. True when this call did it.

    In the caller's transaction. For a client whose secret was changed for one that this database does not know. One that was
    withdrawn already ends earlier, and never later.
    """
    locked = Client.objects.select_for_update().get(pk=client.pk)
    is_newer = locked.secret_created_at is not None and locked.secret_created_at > made_by
    if is_newer:
        return False
    if locked.secret_digest is None and not locked.foreign_secret_hash:
        return _end_previous_secret(locked, until=until)
    locked.previous_secret_digest, locked.previous_secret_expires_at = locked.secret_digest, until
    locked.secret_digest, locked.foreign_secret_hash = None, ""
    locked.save(update_fields=("secret_digest", "foreign_secret_hash", "previous_secret_digest", "previous_secret_expires_at"))
    cache.forget()
    return True


def _end_previous_secret(client: Client, *, until: datetime) -> bool:
    """True when it would have worked for longer."""
    rows = Client.objects.filter(pk=client.pk, previous_secret_expires_at__gt=until)
    # SECURITY: or a secret that leaked works for as long as an earlier change of it said.
    if not rows.update(previous_secret_expires_at=until):
        return False
    cache.forget()
    return True


def digest(value: str) -> bytes:
    """What is stored of a secret. A fast hash is enough: 256 random bits cannot be guessed."""
    return hashlib.sha256(value.encode()).digest()


def authenticate(authorization: str | None, *, form: Form, now: datetime, allow_public: bool = True) -> Client:
    """The client that sent this request.

    One method only: Basic, or client_id with client_secret in the body, or client_id alone for a
    public client where one is allowed. An empty secret counts as none. Raises InvalidClient, InvalidRequest.
    """
    headers = {} if authorization is None else {"WWW-Authenticate": 'Basic realm="authserver", charset="UTF-8"'}
    client_id, secret = form.optional("client_id"), form.optional("client_secret")
    if authorization is not None:
        basic_id, basic_secret = _parse_basic(authorization, headers)
        if secret:
            raise InvalidRequest("Use one client authentication method: the Authorization header, or client_secret in the body.")
        if client_id and client_id != basic_id:
            raise InvalidRequest("client_id differs from the client in the Authorization header.")
        client_id, secret = basic_id, basic_secret
    if not client_id:
        raise InvalidClient("no client named", headers=headers)

    client = cache.find(client_id)
    if client is None or not client.is_active:
        hmac.compare_digest(digest(secret), bytes(32))
        known = "" if client is None else client.client_id
        raise InvalidClient("client disabled" if known else "client unknown", headers=headers, client_id=known)
    if client.is_public:
        # SECURITY: a public client that sends a secret believes that it is protected by it.
        if secret:
            raise InvalidClient("public client sent a secret", headers=headers, client_id=client_id)
        # SECURITY: who knows its client_id can say that they are it.
        if not allow_public:
            raise InvalidClient("public client where a secret is needed", headers=headers, client_id=client_id)
    elif not _is_secret_of(client, secret, now=now):
        raise InvalidClient("wrong secret" if secret else "no secret", headers=headers, client_id=client_id)
    return client


def ensure_active(client: Client) -> None:
    """Ask the database, past the cache. Raises InvalidClient when the client was disabled since."""
    if not with_reconnect(Client.objects.filter(pk=client.pk, is_active=True).exists):
        raise InvalidClient("client disabled")


class ClientCache:
    """Clients by client_id, for at most a second: what staff change takes effect within it on every process."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[float, Client]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, client_id: str) -> Client | None:
        entry = self._entries.get(client_id)
        if entry is not None and time.monotonic() - entry[0] < CACHE_SECONDS:
            return entry[1]
        loaded_at = time.monotonic()
        client: Client | None = with_reconnect(Client.objects.filter(client_id=client_id).first)
        if client is not None:
            with self._lock:
                self._entries[client_id] = (loaded_at, client)
                self._entries.move_to_end(client_id)
                while len(self._entries) > CACHE_SIZE:
                    self._entries.popitem(last=False)
        return client

    def forget(self) -> None:
        with self._lock:
            self._entries.clear()


cache = ClientCache()


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def _is_secret_of(client: Client, value: str, *, now: datetime) -> bool:
    presented = digest(value)
    is_current = client.secret_digest is not None and hmac.compare_digest(presented, bytes(client.secret_digest))
    is_previous = (
        client.previous_secret_digest is not None
        and client.previous_secret_expires_at is not None
        and now < client.previous_secret_expires_at
        and hmac.compare_digest(presented, bytes(client.previous_secret_digest))
    )
    # SECURITY: an empty secret has a digest too.
    return bool(value) and (is_current or is_previous or foreign_secrets.is_that_of(client, value, digest=presented, now=now))


def _parse_basic(authorization: str, headers: dict[str, str]) -> tuple[str, str]:
    """client_id and secret, each form-encoded inside the pair (RFC 6749 §2.3.1)."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("Authorization is not Basic", headers=headers)
    try:
        pair = base64.b64decode(credentials.strip(), validate=True).decode()
        client_id, colon, secret = (unquote_to_bytes(part.replace("+", " ")).decode() for part in pair.partition(":"))
    except ValueError:  # not base64, or not UTF-8
        raise InvalidClient("Authorization is malformed", headers=headers) from None
    if not colon or not (client_id + secret).isprintable():
        raise InvalidClient("Authorization has no colon, or control characters", headers=headers)
    return client_id, secret
