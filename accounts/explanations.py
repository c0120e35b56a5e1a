"""What is on record of a refused request, and what to do about it: for the command and for the admin's page."""

import re
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEvent, Refusal, User

MOST_EVENTS = 20
_ERROR_ID = re.compile(r"[0-9a-f]{16}")

ADVICE = {
    "invalid_client": _("Compare the client's id, type and secret; manage.py rotate_client_secret makes a new secret."),
    "invalid_grant": _("The user has to sign in again. A reused token means that a copy is about, or an app that refreshes in parallel."),
    "invalid_scope": _("Compare what the client asks for with its allowed and default scopes."),
    "unauthorized_client": _("Add the grant type to the client, or let it introspect, when it is meant to."),
    "invalid_token": _("The token expired or its session ended: the client has to refresh, or the user to sign in again."),
    "unsupported_grant_type": _("The grant type is misspelt, or switched off on this server."),
    "rate_limit_exceeded": _("The address sent or failed too much. If it is your own proxy's, name it in AUTH_SERVICE__TRUSTED_PROXIES."),
    "invalid_target": _("Compare the resource that the client names with its audience and its resources."),
    "unsupported_response_type": _("The app asks for tokens through the browser; it has to ask for a code (response_type=code)."),
    "access_denied": _("The person pressed Deny. Nothing is wrong with the server."),
    "login_required": _("The app asked with prompt=none, and nobody was signed in recently enough: it has to ask without."),
    "consent_required": _("The app asked with prompt=none, and the person has not let it in yet: it has to ask without."),
    "interaction_required": _("The person has to enrol a second factor first, at /account/security."),
    "account_locked": _(
        "Too many attempts on this name failed. The user's page says from where, and Unlock… lets them try at once; it opens by itself too."
    ),
    "mfa_required": _("Staff sign in through the browser; give the person another account for applications."),
}
OTHER_ADVICE = _("The description in the answer tells the client's developer what to mend.")
NOT_FOUND = _(
    "No refusal with this error_id is stored. They are kept for 14 days, from client authentication on, and at most "
    "20 a second per process; the log has the line of every one."
)
NO_ERROR_ID = _("An error_id is 16 characters from 0 to 9 and a to f.")


class Unknown(Exception):
    """Nothing is on record under this error_id; the message says why that can be."""


@dataclass(frozen=True)
class Explanation:
    refusal: Refusal
    user: User | None  # None where it is not known, or was deleted since
    advice: Any

    @property
    def shape(self) -> dict[str, str]:
        """Which parameters were sent and how; values were never stored."""
        return {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in self.refusal.shape.items()}


def explain(typed: str) -> Explanation:
    """What is known of the refusal with this error_id, in any case and with spaces around it. Raises Unknown."""
    error_id = typed.strip().lower()
    if not _ERROR_ID.fullmatch(error_id):
        raise Unknown(NO_ERROR_ID)
    refusal = Refusal.objects.filter(pk=error_id).first()
    if refusal is None:
        raise Unknown(NOT_FOUND)
    user = User.objects.filter(pk=refusal.user_id).first() if refusal.user_id else None
    return Explanation(refusal, user, ADVICE.get(refusal.error, OTHER_ADVICE))


def events_of(error_id: str) -> list[AuditEvent]:
    """The audit's events of the same request, by an index that holds those alone that have an error_id."""
    return list(AuditEvent.objects.filter(error_id=error_id).exclude(error_id="").order_by("-id")[:MOST_EVENTS])
