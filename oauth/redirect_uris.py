"""Redirect URIs: what may be registered, and whether one that was sent is among the registered (RFC 6749 §3.1.2, RFC 8252 §7). Pure."""

import re
from collections.abc import Iterable
from urllib.parse import urlencode, urlsplit

# A browser runs or opens these by itself: none of them leads to an app.
_NEVER = frozenset({"javascript", "data", "vbscript", "file", "about", "blob", "view-source", "filesystem"})
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\])(?::([0-9]{1,5}))?((?:[/?].*)?)")
_PLAIN_HOST = re.compile(r"(https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)(?:[/?].*)?")
_DOTS = re.compile(r"(?:/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:[/?\\]|%2f|%5c|$)", re.IGNORECASE)


def is_registrable(uri: str) -> bool:
    """Whether an answer may ever be sent there: absolute, without fragment, user, wildcard or steps up (RFC 6749 §3.1.2, RFC 9700 §2.1)."""
    if not uri.isascii() or not uri.isprintable() or any(character in uri for character in ' \\#*"<>'):
        return False
    try:
        parts = urlsplit(uri)
        has_port = parts.port != 0
    except ValueError:
        return False
    if not parts.scheme or parts.scheme in _NEVER or not uri.startswith(f"{parts.scheme}:") or "@" in parts.netloc or not has_port:
        return False
    is_web = parts.scheme in {"http", "https"}
    return bool(parts.hostname if is_web else uri != f"{parts.scheme}:") and not _DOTS.search(uri)


def is_among(sent: str, *, registered: Iterable[str]) -> bool:
    """Character by character the same as a registered one; of a loopback address alone the port is the app's to choose (RFC 8252 §7.3)."""
    # SECURITY: nothing is decoded, resolved or normalised: two readings of one URI are how codes end up with somebody else.
    return any(sent == uri or _is_same_but_port(sent, uri) for uri in registered)


def with_parameters(uri: str, parameters: dict[str, str]) -> str:
    """The URI with these added to its query, and what it had kept as it is (RFC 6749 §4.1.2)."""
    if not parameters:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(parameters)}"


def is_claimed(uri: str) -> bool:
    """Whether no other app on the user's device can take what is sent there (RFC 8252 §8.6)."""
    return uri.startswith("https://")


def source_of(uri: str) -> str:
    """The URI's origin as a source of a Content-Security-Policy, or its scheme where the policy has no word for the origin."""
    host = _PLAIN_HOST.fullmatch(uri)
    return host[1] if host else f"{uri.partition(':')[0]}:"


def _is_same_but_port(sent: str, registered: str) -> bool:
    one, other = _LOOPBACK.fullmatch(sent), _LOOPBACK.fullmatch(registered)
    if one is None or other is None or (one[1], one[3]) != (other[1], other[3]):
        return False
    return one[2] is None or 0 < int(one[2]) < 65536
