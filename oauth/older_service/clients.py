"""The older service's clients: registered here with their ids and rights, and with their secrets as bcrypt hashes."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts import audit, clock, foreign_hashes
from accounts.actors import Actor
from oauth import scopes
from oauth.models import CLIENT_CREDENTIALS, GRANT_TYPE_CHOICES, Client
from oauth.older_service.database import OlderClient

BOTH_SECRETS_WORK_FOR = timedelta(days=30)
_BY = {"by": "import_older_service"}


class Refused(Exception):
    """A client that cannot be brought in. The message tells a person what to do."""


def bring_in(older: OlderClient, *, widen: bool, actor: Actor) -> str:
    """What was done with it, for a person; empty when it is here already. Raises Refused.

    `widen`: a client of this name that is here, made by bootstrap perhaps, gets what it had there as well.
    """
    here = Client.objects.select_for_update(no_key=True).filter(client_id=older.client_id).first()
    try:
        if here is None:
            return _register(older, actor=actor)
        return _widen(here, older, actor=actor) if widen else ""
    except ValidationError as error:
        told = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
        raise Refused(f"the client {older.client_id} cannot be brought in: {told}") from None


def _register(older: OlderClient, *, actor: Actor) -> str:
    allowed = frozenset(older.scopes)
    client = Client(
        client_id=older.client_id,
        name=older.name,
        client_type=Client.CLIENT_CONFIDENTIAL if older.is_confidential else Client.CLIENT_PUBLIC,
        is_active=older.is_active,
        grant_types=_grants(older),
        allowed_scopes=scopes.format(allowed),
        default_scopes=scopes.format(allowed - scopes.NEVER_DEFAULT),
        access_token_lifetime=_other_than(settings.ACCESS_TOKEN_LIFETIME, older.access_token_lifetime),
        refresh_token_lifetime=_other_than(settings.REFRESH_TOKEN_LIFETIME, older.refresh_token_lifetime),
        foreign_secret_hash=_secret_hash(older),
        resources="",  # not the database's default: full_clean reads both
        served_audiences="",
    )
    client.full_clean()
    client.save()
    audit.record("client:registration:created", client_id=client.client_id, detail=_BY, **actor)
    if older.is_confidential and not older.secret_hash:
        return f"{older.client_id}: registered, and without a secret; rotate_client_secret gives it one"
    return f"{older.client_id}: registered"


def _widen(here: Client, older: OlderClient, *, actor: Actor) -> str:
    if here.is_public == older.is_confidential:
        kinds = "confidential there and public" if older.is_confidential else "public there and confidential"
        raise Refused(f"the client {older.client_id} is {kinds} here: rename or remove one of them, or leave it out")
    before = {name: getattr(here, name) for name in ("grant_types", "allowed_scopes", "access_token_lifetime", "refresh_token_lifetime")}
    here.grant_types = [*here.grant_types, *(grant for grant in _grants(older) if grant not in here.grant_types)]
    here.allowed_scopes = scopes.format(here.allowed_scope_set | frozenset(older.scopes))
    for name, default in (
        ("access_token_lifetime", settings.ACCESS_TOKEN_LIFETIME),
        ("refresh_token_lifetime", settings.REFRESH_TOKEN_LIFETIME),
    ):
        if getattr(here, name) is None:
            setattr(here, name, _other_than(default, getattr(older, name)))
    after = {name: getattr(here, name) for name in before}
    changes: dict[str, Any] = {name: {"before": before[name], "after": after[name]} for name in before if before[name] != after[name]}
    if secret_hash := _secret_hash(older):
        changes["secret"] = {"before": "that of this server, for 30 days more", "after": "that of the older service"}
        here.previous_secret_digest, here.previous_secret_expires_at = here.secret_digest, clock.now() + BOTH_SECRETS_WORK_FOR
        here.secret_digest, here.foreign_secret_hash = None, secret_hash
    if not changes:
        return ""
    here.full_clean()
    here.save()
    audit.record("client:registration:changed", client_id=here.client_id, detail=_BY | {"changes": changes}, **actor)
    return f"{here.client_id}: was here already; taken over: {', '.join(changes)}"


def _grants(older: OlderClient) -> list[str]:
    """Those that there are here; a public client never had the one that takes a secret (RFC 6749 §4.4)."""
    known = [grant for grant in older.grant_types if grant in GRANT_TYPE_CHOICES]
    return [grant for grant in known if older.is_confidential or grant != CLIENT_CREDENTIALS]


def _secret_hash(older: OlderClient) -> str:
    if not older.is_confidential or not older.secret_hash:
        return ""
    try:
        is_bcrypt = foreign_hashes.translate(older.secret_hash).startswith("bcrypt$")
    except foreign_hashes.InvalidHash as error:
        raise Refused(f"the secret of the client {older.client_id} cannot be brought in: {error}") from None
    if not is_bcrypt:
        raise Refused(f"the secret of the client {older.client_id} is no bcrypt hash")
    return older.secret_hash


def _other_than(default: timedelta, seconds: int | None) -> int | None:
    return None if seconds is None or timedelta(seconds=seconds) == default else seconds
