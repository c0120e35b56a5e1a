"""The server as its clients see it, asked under its own issuer, through whatever stands in front."""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings

from accounts import clock
from accounts.addresses import is_trusted_proxy
from accounts.models import Refusal
from oauth import key_rows
from oauth.doctor.asking import Answer, Unreachable, ask
from oauth.doctor.findings import Finding, fail, ok, warn

METADATA, KEY_SET = "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"
CERTIFICATE_WARN, CERTIFICATE_FAIL = timedelta(days=21), timedelta(days=3)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NOBODY = "203.0.113.77"  # an address of documentation alone (RFC 5737)
PROXY_MEND = (
    "See docs/operations.md, Behind nginx: X-Forwarded-Proto $scheme, X-Forwarded-For $remote_addr, and AUTH_SERVICE__TRUSTED_PROXIES."
)


def issuer() -> Iterator[Finding]:
    """Whether the metadata is where clients look for it, and names the issuer that tokens name."""
    url = _base() + METADATA
    try:
        answer = ask(url)
    except Unreachable as error:
        mend = "Is AUTH_SERVICE__JWT_ISSUER right, does its name lead to the proxy, also from here, and does that run?"
        yield fail("issuer", f"{url}: {error}.", mend=mend)
        return
    yield judge_metadata(answer, issuer=settings.JWT_ISSUER, url=url)


def judge_metadata(answer: Answer, *, issuer: str, url: str) -> Finding:
    document = _json(answer)
    if answer.status == 200 and document.get("issuer") == issuer:
        return ok("issuer", f"{url} is there, and says {issuer}.")
    if answer.status == 200:
        mend = "AUTH_SERVICE__JWT_ISSUER has to be the same for the server and for this command, and its name has to lead to this server."
        return fail("issuer", f"{url} names another issuer, or none.", mend=mend)
    if 300 <= answer.status < 400:
        return fail("issuer", f"{url} is answered with a redirect, which clients do not follow.", mend="Let the proxy pass it on as it is.")
    description = str(document.get("error_description", ""))
    if answer.status == 400 and "HTTPS" in description:
        return fail("issuer", f"{url}: the server takes the request for plain HTTP.", mend=PROXY_MEND)
    if answer.status == 400 and "Host" in description:
        mend = f"Add {urlsplit(issuer).hostname} to AUTH_SERVICE__ALLOWED_HOSTS, and let the proxy pass the Host on."
        return fail("issuer", f"{url}: the server does not know the name.", mend=mend)
    return fail(
        "issuer", f"{url} is answered with {answer.status}.", mend="Look at the log of the proxy: does it pass the path on to the server?"
    )


def key_set() -> Iterator[Finding]:
    """Whether verifiers get the key that signs, of this database."""
    signer = key_rows.current().signer(clock.database_now())
    url = _base() + KEY_SET
    try:
        answer = ask(url)
    except Unreachable as error:
        yield fail("key set", f"{url}: {error}.", mend="Look at the proxy: the metadata is reached through it.")
        return
    yield judge_key_set(answer, kid=signer.key.kid if signer else "", url=url)


def judge_key_set(answer: Answer, *, kid: str, url: str) -> Finding:
    kids = [key.get("kid") for key in _json(answer).get("keys", []) if isinstance(key, dict)]
    if answer.status == 200 and kid in kids:
        return ok("key set", f"{url} has {len(kids)} keys, and the one that signs is among them.")
    if answer.status != 200:
        return fail("key set", f"{url} is answered with {answer.status}.", mend="Ask /ready of an instance: it says what is missing.")
    mend = "A cache keeps it for longer than Cache-Control says, or the server has another database than this command. Empty the cache."
    return fail("key set", f"{url} lacks the key that signs: verifiers refuse every new token.", mend=mend)


def https() -> Iterator[Finding]:
    """The certificate, and whether browsers are told to stay with HTTPS."""
    parts = urlsplit(settings.JWT_ISSUER)
    if parts.scheme != "https":
        is_here = parts.hostname in LOOPBACK
        found = f"{settings.JWT_ISSUER} is plain HTTP{', of this machine alone' if is_here else ': passwords and tokens travel in clear'}."
        mend = "Put a proxy with a certificate in front, and set AUTH_SERVICE__JWT_ISSUER to https://…"
        yield ok("https", found) if is_here else fail("https", found, mend=mend)
        return
    answer = ask(_base() + METADATA)
    if answer.certificate_ends_at is not None:
        yield judge_certificate(answer.certificate_ends_at, now=clock.now())
    yield judge_hsts(answer)


def judge_certificate(ends_at: datetime, *, now: datetime) -> Finding:
    left = ends_at - now
    found = f"The certificate is good for {left.days} days more, until {ends_at:%Y-%m-%d %H:%M} UTC."
    mend = "Renew it, and look why that did not happen by itself."
    if left < CERTIFICATE_FAIL:
        return fail("https", found, mend=mend)
    return warn("https", found, mend=mend) if left < CERTIFICATE_WARN else ok("https", found)


def judge_hsts(answer: Answer) -> Finding:
    asked = re.search(r"\bmax-age\s*=\s*\"?(\d+)", answer.headers.get("strict-transport-security", ""), re.IGNORECASE)
    if asked and int(asked[1]):  # 0 tells them to forget it (RFC 6797 §6.1.1)
        return ok("https", "Browsers are told to stay with it (Strict-Transport-Security).")
    mend = "Set AUTH_SERVICE__REQUIRE_HTTPS=true, its default in production. If it is, the proxy takes the header away, or sets another."
    return warn(
        "https", "Browsers are not told to stay with it: Strict-Transport-Security is not there, or has no max-age above 0.", mend=mend
    )


def plain_http() -> Iterator[Finding]:
    """Whether the server takes plain HTTP for HTTPS, since its proxy says so of every request."""
    parts = urlsplit(settings.JWT_ISSUER)
    if parts.scheme == "https" and parts.port is None:
        yield judge_plain_http(f"http://{parts.netloc}{parts.path.rstrip('/')}{METADATA}")


def judge_plain_http(url: str) -> Finding:
    """Asks there."""
    try:
        answer = ask(url)
    except Unreachable as error:
        return ok("plain http", f"{url}: {error}.")
    if answer.status != 200:
        return ok("plain http", f"{url} is answered with {answer.status}.")
    return fail(
        "plain http", f"{url} is served: passwords and tokens can travel in clear.", mend=f"{PROXY_MEND} REQUIRE_HTTPS has to be on."
    )


def proxy() -> Iterator[Finding]:
    """By what address the server knows who asks: a request that lies about it is refused, and its record tells.

    It claims to be a client that does not exist, so it counts as one failure of a client's for this machine.
    """
    form = {"grant_type": "client_credentials", "client_id": f"doctor-{secrets.token_hex(8)}", "client_secret": secrets.token_hex(8)}
    headers = {"X-Forwarded-For": NOBODY, "Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(f"{_base()}/oauth/token", method="POST", headers=headers, body=urlencode(form))
    error_id = str(_json(answer).get("error_id", ""))
    row = Refusal.objects.filter(error_id=error_id).first() if error_id else None
    if row is None:
        mend = "Does the server have another database than this command? One that refuses very much just now records some of it alone."
        yield warn("proxy", f"The server's record has nothing of a request that it answered with {answer.status}.", mend=mend)
        return
    yield judge_address(row.address, trusted=settings.TRUSTED_PROXIES, is_https=settings.JWT_ISSUER.startswith("https:"))


def judge_address(address: str | None, *, trusted: Sequence[Any], is_https: bool) -> Finding:
    """`address`: what the server took for that of a request which said it came from NOBODY."""
    if address == NOBODY:
        mend = (
            "Let the proxy overwrite X-Forwarded-For ($remote_addr), and name no network among AUTH_SERVICE__TRUSTED_PROXIES in which "
            "clients are. Where this command asks the server directly, from a trusted address, it is no finding: run it elsewhere."
        )
        return fail("proxy", "Who asks can choose its own address: ceilings and lockouts do not hold.", mend=mend)
    if is_https and not trusted:
        mend = f"Name the proxy's address in AUTH_SERVICE__TRUSTED_PROXIES. {PROXY_MEND}"
        return warn("proxy", f"No proxy is believed, so all clients have its address, {address}, and count as one.", mend=mend)
    if trusted and is_trusted_proxy(address or "", trusted=trusted):
        note = "that of a trusted proxy: this command runs on its machine, or it does not say who asks. From elsewhere it can be told"
        return ok("proxy", f"The server knows this machine by {address}, {note}.")
    return ok("proxy", f"The server knows this machine by {address}, and does not believe what it says of itself.")


def _base() -> str:
    return str(settings.JWT_ISSUER).rstrip("/")


def _json(answer: Answer) -> dict[str, Any]:
    """Empty where it is none."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
