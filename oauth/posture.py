"""What RFC 9700 (OAuth 2.0 Security Best Current Practice) and this server's own rules say of a client as it is set up. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils.translation import gettext as _

from oauth.models import AUTHORIZATION_CODE, PASSWORD, REFRESH_TOKEN, Client

OLD_SECRET = timedelta(days=365)
LONG_ACCESS = timedelta(hours=1)
LONG_REFRESH = timedelta(days=90)
BROAD = frozenset({"auth:account"})
MANY_SCOPES = 8


class Severity(StrEnum):
    RISK = "risk"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """`code` is for programs and tests; `words` say what is so, `mend` what to do, both in the reader's language."""

    code: str
    severity: Severity
    words: str
    mend: str


def findings(client: Client, *, now: datetime) -> list[Finding]:
    """What somebody should know of a client, risks first."""
    found = [*_of_grants(client), *_of_secret(client, now), *_of_tokens(client), *_of_reach(client)]
    return sorted(found, key=lambda finding: finding.severity is not Severity.RISK)


def _of_grants(client: Client) -> Iterator[Finding]:
    if client.allows_grant_type(PASSWORD):
        yield Finding(
            "password_grant",
            Severity.RISK,
            _(
                "The password grant is on: users type their password into the app, and who has a second factor cannot sign in there "
                "(RFC 9700 §2.4)."
            ),
            _("Keep it for apps of your own that cannot open a browser; take it away where the app no longer needs it."),
        )
    if client.allows_grant_type(AUTHORIZATION_CODE):
        yield from _of_codes(client)
    if client.is_public and client.allows_grant_type(REFRESH_TOKEN):
        yield Finding(
            "public_client",
            Severity.NOTE,
            _("It is public and can keep no secret: whoever knows its client_id can say that they are it (RFC 9700 §2.5)."),
            _("Nothing is wrong with that for an app in its users' hands: refresh tokens work once, and reuse ends the session."),
        )


def _of_codes(client: Client) -> Iterator[Finding]:
    if not client.needs_pkce:
        yield Finding(
            "no_pkce",
            Severity.RISK,
            _("It may use authorization codes without PKCE: whoever intercepts a code can spend it (RFC 9700 §2.1.1)."),
            _("Require PKCE of it, as soon as its library can do it."),
        )
    uris = client.redirect_uris.split()
    if not uris:
        yield Finding(
            "no_redirect_uri",
            Severity.NOTE,
            _("It may use authorization codes and has no redirect URI, so it gets none (RFC 9700 §2.1)."),
            _("Enter its redirect URIs, or take the grant away."),
        )
    if any(uri.startswith("http://") and not _is_loopback(uri) for uri in uris):
        yield Finding(
            "plain_redirect_uri",
            Severity.RISK,
            _("A redirect URI is plain HTTP: an authorization code can be read on its way (RFC 9700 §2.6)."),
            _("Use https, or a loopback address for an app on the user's own machine."),
        )


def _of_secret(client: Client, now: datetime) -> Iterator[Finding]:
    if client.is_public:
        return
    if client.secret_created_at is None or now - client.secret_created_at > OLD_SECRET:
        yield Finding(
            "old_secret",
            Severity.RISK,
            _("Its secret is older than a year (RFC 9700 §2.5)."),
            _("Rotate the secret; the old one can work on for a day."),
        )
    if client.previous_secret_expires_at is not None and client.previous_secret_expires_at > now:
        yield Finding(
            "two_secrets",
            Severity.NOTE,
            _("Two secrets work: the one before the last rotation has not ended yet."),
            _("It ends by itself. If it has leaked, rotate again and stop the old one now."),
        )


def _of_tokens(client: Client) -> Iterator[Finding]:
    if client.access_lifetime > LONG_ACCESS:
        yield Finding(
            "long_access_token",
            Severity.RISK,
            _("Its access tokens live for more than an hour: a stolen one works as long, wherever it is not introspected (RFC 9700 §2.2)."),
            _("Shorten their lifetime; a refresh costs the app one request."),
        )
    if client.allows_grant_type(REFRESH_TOKEN) and client.refresh_lifetime > LONG_REFRESH:
        yield Finding(
            "long_refresh_token",
            Severity.RISK,
            _("Its refresh tokens live for more than 90 days without use (RFC 9700 §4.14.2)."),
            _("Shorten their lifetime."),
        )
    if client.refresh_overlap:
        yield Finding(
            "overlap",
            Severity.NOTE,
            _("The overlap is on: for some seconds after a refresh the spent token still works from the same network (RFC 9700 §4.14.2)."),
            _("Set it to 0 when the app sends an Idempotency-Key, or never refreshes in parallel."),
        )


def _of_reach(client: Client) -> Iterator[Finding]:
    scopes = frozenset(client.allowed_scopes.split())
    if len(scopes) > MANY_SCOPES or scopes & BROAD:
        yield Finding(
            "broad_scopes",
            Severity.NOTE,
            _("It may ask for broad scopes: many, or those that change the user's own account (RFC 9700 §2.3)."),
            _("Allow only what the app asks for."),
        )
    if client.may_introspect:
        yield Finding(
            "may_introspect",
            Severity.NOTE,
            _("It may introspect: it can ask what tokens of its audiences say and whether they are active."),
            _("Leave that to services that receive tokens."),
        )


def _is_loopback(uri: str) -> bool:
    host = uri.removeprefix("http://").partition("/")[0]
    return host == "[::1]" or host.startswith("[::1]:") or host.partition(":")[0] in {"127.0.0.1", "localhost"}
