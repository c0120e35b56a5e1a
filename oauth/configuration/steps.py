"""What a declaration changes, and the operations of staff that carry it out."""

from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from accounts import role_changes
from accounts.actors import Actor
from accounts.models import Role
from oauth import client_changes, client_form, client_switch, clients
from oauth.configuration.declarations import ACTIVE, LINES, REQUIRED, TYPE, TYPES, WORDS
from oauth.models import Client

CREATE, CHANGE, UNCHANGED = "create", "change", "unchanged"
# What `clients.register` takes under another name, or does not take.
_AFTER_REGISTRATION = ("allowed_origins", "audience", "access_token_lifetime", "refresh_token_lifetime")


@dataclass(frozen=True)
class Change:
    """`before` is None of what is new."""

    name: str
    before: Any
    after: Any


@dataclass
class Step:
    """`secret_value` is that of a confidential client that was registered just now: this is the only time that it is seen."""

    kind: str
    name: str
    action: str
    changes: list[Change] = field(default_factory=list)
    secret_value: str | None = field(default=None, repr=False)


def carry_out_role(name: str, said: dict[str, Any], *, actor: Actor, reason: str) -> Step:
    """Raises ValidationError."""
    role = Role.objects.filter(name=name).first()
    if role is None:
        role_changes.create(name, description=said.get("description", ""), actor=actor, reason=reason)
        return Step("role", name, CREATE, [Change(member, None, value) for member, value in said.items()])
    changes = [Change(member, getattr(role, member), value) for member, value in said.items() if getattr(role, member) != value]
    for change in changes:
        role_changes.describe(role, description=change.after, actor=actor, reason=reason)
    return Step("role", name, CHANGE if changes else UNCHANGED, changes)


def carry_out_client(client_id: str, said: dict[str, Any], *, actor: Actor, reason: str) -> Step:
    """Raises ValidationError."""
    client = Client.objects.filter(client_id=client_id).first()
    if client is None:
        return _register(client_id, said, actor=actor, reason=reason)
    now = _as_declared(client)
    changes = [Change(name, now[name], value) for name, value in said.items() if not _is_same(now[name], value)]
    if any(change.name == TYPE for change in changes):
        raise ValidationError({TYPE: f"It is {now[TYPE]}, and that cannot be changed: register another client."})
    _change(client, {change.name: change.after for change in changes}, actor=actor, reason=reason)
    return Step("client", client_id, CHANGE if changes else UNCHANGED, changes)


def _register(client_id: str, said: dict[str, Any], *, actor: Actor, reason: str) -> Step:
    if missing := [name for name in REQUIRED if name not in said]:
        raise ValidationError(dict.fromkeys(missing, "A client that is new needs it."))
    all_of_it = {"name": client_id} | said
    all_of_it.setdefault("default_scopes", _default_scopes(said))
    kept = {name: _as_column(name, value) for name, value in all_of_it.items()}
    later = {name: said[name] for name in said if name in _AFTER_REGISTRATION or (name == ACTIVE and not said[name])}
    first = {name: value for name, value in kept.items() if name not in {TYPE, ACTIVE, *_AFTER_REGISTRATION}}
    made = clients.register(client_id, is_public=said[TYPE] == "public", **first, actor=actor, reason=reason)
    _change(made.client, later, actor=actor, reason=reason)
    return Step("client", client_id, CREATE, [Change(name, None, value) for name, value in all_of_it.items()], made.secret_value)


def _change(client: Client, said: dict[str, Any], *, actor: Actor, reason: str) -> None:
    fields = {name: value if name in LINES else _as_column(name, value) for name, value in said.items() if name != ACTIVE}
    if fields:
        client_changes.change(client, fields=fields, actor=actor, reason=reason)
    if ACTIVE in said:
        turn = client_switch.enable if said[ACTIVE] else client_switch.disable
        turn(client, actor=actor, reason=reason)


def _default_scopes(said: dict[str, Any]) -> list[str]:
    return client_form.all_but_special(" ".join(said["allowed_scopes"])).split()


def _as_column(name: str, value: Any) -> Any:
    return " ".join(value) if name in WORDS or name in LINES else value


def _as_declared(client: Client) -> dict[str, Any]:
    """What the file would say of it."""
    columns = {name: getattr(client, name) for name in (*client_changes.CHANGEABLE, ACTIVE)}
    words = {name: value.split() if name in WORDS or name in LINES else value for name, value in columns.items()}
    [kind] = [kind for kind, client_type in TYPES.items() if client_type == client.client_type]
    return {**words, TYPE: kind}


def _is_same(one: Any, other: Any) -> bool:
    """The order of a list says nothing."""
    return sorted(one) == sorted(other) if isinstance(one, list) else bool(one == other)
