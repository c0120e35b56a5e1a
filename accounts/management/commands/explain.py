"""Tell why a request was refused."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import explanations


class Command(BaseCommand):
    help = "Tell why a request was refused: the true reason behind the error_id that its client was given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("error_id", help="the 16 characters from the answer")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = explanations.explain(options["error_id"])
        except explanations.Unknown as unknown:
            raise CommandError(str(unknown)) from None
        refusal = found.refusal
        lines = {
            "when": f"{refusal.at:%Y-%m-%d %H:%M:%S} UTC",
            "answer": f"{refusal.status} {refusal.error}",
            "true reason": refusal.reason,
            "client": refusal.client_id or "not a registered one",
            "user": f"{found.user} ({refusal.user_id})" if refusal.user_id else "not known",
            "from": f"{refusal.address or 'unknown address'}  {refusal.user_agent}",
            "request": ", ".join(f"{name}={value}" for name, value in refusal.shape.items()),
            "what to do": found.advice,
        }
        if refusal.skipped_before:
            lines["not stored"] = f"{refusal.skipped_before} refusals before this one, when there were too many"
        for name, value in lines.items():
            self.stdout.write(f"{name:<12} {value}")
