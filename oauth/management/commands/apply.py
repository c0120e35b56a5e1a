"""Bring clients and roles to what a file declares."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from accounts.actors import at_the_console
from oauth.configuration import apply, declarations
from oauth.configuration.steps import CHANGE, CREATE, UNCHANGED, Change, Step

_SIGNS = {CREATE: "+", CHANGE: "~", UNCHANGED: "="}
DRIFT = 3  # 2 is what a misspelt option ends with


class Command(BaseCommand):
    help = (
        "Bring clients and roles to what a TOML file declares, all of it or nothing. What the file does not name is left alone, "
        "and a second run changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="such as clients.toml")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--plan", action="store_true", help="show what would be done, and change nothing")
        how.add_argument("--check", action="store_true", help="the same, and end with 3 when there is anything to do")
        parser.add_argument(
            "--secrets-dir", type=Path, metavar="FOLDER", help="where the secret of a confidential client that is new is written"
        )
        parser.add_argument("--reason", help="why, for the audit; the name of the file when not given")

    def handle(self, *args: Any, **options: Any) -> None:
        is_plan, folder = options["plan"] or options["check"], options["secrets_dir"]
        try:
            steps = apply.run(
                declarations.read(options["file"]),
                is_plan=is_plan,
                secrets_folder=folder,
                actor=at_the_console(),
                reason=options["reason"] or f"manage.py apply {options['file'].name}",
            )
        except declarations.Invalid as error:
            for problem in error.problems:
                self.stderr.write(problem)
            raise CommandError("Nothing was changed: mend the above.") from None
        except OperationalError as error:
            raise CommandError(f"Nothing was changed: {str(error).strip().splitlines()[0]}. Run it again.") from error
        self._print(steps, is_plan=is_plan, folder=folder)
        if options["check"] and any(step.action != UNCHANGED for step in steps):
            raise CommandError("The database is not what the file declares.", returncode=DRIFT)

    def _print(self, steps: list[Step], *, is_plan: bool, folder: Path | None) -> None:
        for step in steps:
            self.stdout.write(f"{_SIGNS[step.action]} {step.kind} {step.name}")
            for change in step.changes:
                self.stdout.write(f"    {change.name}: {_told(change)}")
            if step.secret_value is not None:
                where = "a file of --secrets-dir" if is_plan or folder is None else apply.secret_file(step.name, folder=folder)
                self.stdout.write(f"    secret: {'will be' if is_plan else 'was'} written to {where}")
        created, changed, unchanged = (sum(step.action == action for step in steps) for action in (CREATE, CHANGE, UNCHANGED))
        counted = f"{created} to create, {changed} to change" if is_plan else f"{created} created, {changed} changed"
        self.stdout.write(f"{'Plan' if is_plan else 'Done'}: {counted}, {unchanged} unchanged.")


def _told(change: Change) -> str:
    """A list as what comes and what goes, if it was another one before."""
    if change.before is None:
        return json.dumps(change.after, ensure_ascii=False)
    if not isinstance(change.after, list):
        return f"{json.dumps(change.before, ensure_ascii=False)} → {json.dumps(change.after, ensure_ascii=False)}"
    gone = [f"-{word}" for word in change.before if word not in change.after]
    return " ".join([*gone, *(f"+{word}" for word in change.after if word not in change.before)])
