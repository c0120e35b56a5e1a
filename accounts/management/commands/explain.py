"""Tell why a request was refused."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Refusal, User

ADVICE = {
    "invalid_client": "Compare the client's id, type and secret; manage.py rotate_client_secret makes a new secret.",
    "invalid_grant": "The user has to sign in again. A reused token means that a copy is about, or an app that refreshes in parallel.",
    "invalid_scope": "Compare what the client asks for with its allowed and default scopes.",
    "unauthorized_client": "Add the grant type to the client, or let it introspect, when it is meant to.",
    "invalid_token": "The token expired or its session ended: the client has to refresh, or the user to sign in again.",
    "unsupported_grant_type": "The grant type is misspelt, or switched off on this server.",
    "rate_limit_exceeded": "The address sent or failed too much. If it is your own proxy's, name it in AUTH_SERVICE__TRUSTED_PROXIES.",
    "mfa_required": "Staff sign in through the browser; give the person another account for applications.",
}


class Command(BaseCommand):
    help = "Tell why a request was refused: the true reason behind the error_id that its client was given."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("error_id", help="the 16 characters from the answer")

    def handle(self, *args: Any, **options: Any) -> None:
        refusal = Refusal.objects.filter(pk=options["error_id"].strip().lower()).first()
        if refusal is None:
            raise CommandError(
                "No refusal with this error_id is stored. They are kept for 14 days, from client authentication on, and at most "
                "20 a second per process; the log has the line of every one."
            )
        user = User.objects.filter(pk=refusal.user_id).first() if refusal.user_id else None
        lines = {
            "when": f"{refusal.at:%Y-%m-%d %H:%M:%S} UTC",
            "answer": f"{refusal.status} {refusal.error}",
            "true reason": refusal.reason,
            "client": refusal.client_id or "not a registered one",
            "user": f"{user} ({refusal.user_id})" if refusal.user_id else "not known",
            "from": f"{refusal.address or 'unknown address'}  {refusal.user_agent}",
            "request": ", ".join(f"{name}={value}" for name, value in refusal.shape.items()),
            "what to do": ADVICE.get(refusal.error, "The description in the answer tells the client's developer what to mend."),
        }
        if refusal.skipped_before:
            lines["not stored"] = f"{refusal.skipped_before} refusals before this one, when there were too many"
        for name, value in lines.items():
            self.stdout.write(f"{name:<12} {value}")
