"""All that a file declares, in one transaction: planned by doing it and taking it back, or done."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import connection, transaction

from accounts.actors import Actor
from oauth import clients
from oauth.configuration.declarations import Declarations, Invalid
from oauth.configuration.steps import Step, carry_out_client, carry_out_role

# Of this command alone: two of them at once take turns, and the second one finds what the first has done.
_LOCK = 0x6170706C79


def run(declared: Declarations, *, is_plan: bool, secrets_folder: Path | None, actor: Actor, reason: str) -> list[Step]:
    """What was done or, of a plan, what would be. Raises Invalid, with everything that is wrong.

    The secret of each confidential client that is new lies in a file of its own in the folder before anything is kept.
    """
    written: list[Path] = []
    try:
        with transaction.atomic():
            _take_turns()
            steps = _carry_out(declared, actor=actor, reason=reason)
            if is_plan:
                transaction.set_rollback(True)
            else:
                _write_secrets(steps, folder=secrets_folder, written=written)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    clients.cache.forget()
    return steps


def secret_file(client_id: str, *, folder: Path) -> Path:
    """Where its secret is written, whatever characters its client_id is of."""
    return folder / f"{quote(client_id, safe='')}.secret"


def _take_turns() -> None:
    """Until the transaction ends. On SQLite it took its turn when it began."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _carry_out(declared: Declarations, *, actor: Actor, reason: str) -> list[Step]:
    steps: list[Step] = []
    problems: list[str] = []
    kinds: tuple[tuple[str, dict[str, dict[str, Any]], Callable[..., Step]], ...] = (
        ("roles", declared.roles, carry_out_role),
        ("clients", declared.clients, carry_out_client),
    )
    for kind, declarations, carry_out in kinds:
        for name, said in declarations.items():
            try:
                steps.append(carry_out(name, said, actor=actor, reason=reason))
            except ValidationError as error:
                problems += _told(error, place=f"{kind}.{name}")
    if problems:
        raise Invalid(problems)
    return steps


def _told(error: ValidationError, *, place: str) -> Iterator[str]:
    by_field: dict[str, list[str]] = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    for name, texts in by_field.items():
        where = place if name in {NON_FIELD_ERRORS, "client_id"} else f"{place}.{name}"
        yield f"{where}: {' '.join(texts)}"


def _write_secrets(steps: list[Step], *, folder: Path | None, written: list[Path]) -> None:
    new = {step.name: step.secret_value for step in steps if step.secret_value is not None}
    if not new:
        return
    if folder is None:
        raise Invalid([f"clients.{name}: it gets a secret. Say with --secrets-dir into which folder it is to be written" for name in new])
    if there := [path for name in new if (path := secret_file(name, folder=folder)).exists()]:
        raise Invalid([f"{path} is there already. Move it away" for path in there])
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in new.items():
            path = secret_file(name, folder=folder)
            # SECURITY: nobody else reads it, not even for a moment, and it is no link that somebody has put there.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            written.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{value}\n")
    except OSError as error:
        raise Invalid([f"{error.filename or folder} cannot be written: {error.strerror}"]) from None
