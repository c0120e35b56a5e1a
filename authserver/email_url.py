"""The URL of a mail server as Django's settings; one that does not parse stops the start."""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import dj_email_url  # type: ignore[import-untyped]

from authserver.env import ConfigurationError

NAME = "AUTH_SERVICE__EMAIL_URL"
TIMEOUT_SECONDS = 10
SCHEMES = ("smtp", "smtps", "submission", "submit", "console", "file", "memory")
SWITCHES, OTHERS = frozenset({"tls", "ssl"}), frozenset({"timeout", "_default_from_email"})
OFF = {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}


def settings_of(url: str, *, issuer_host: str, folder: Path) -> dict[str, Any]:
    """Django's settings for mail; an empty URL is none at all. A relative path of `file:` starts in `folder`.

    Raises ConfigurationError.
    """
    defaults = {"DEFAULT_FROM_EMAIL": f"no-reply@{issuer_host}", "EMAIL_TIMEOUT": TIMEOUT_SECONDS}
    try:
        parsed: dict[str, Any] = _parse(url) if url else OFF
    except ValueError:
        # SECURITY: without the value, which may hold a password.
        raise ConfigurationError(
            f"{NAME} must look like submission://user:password@mail.example.com, smtps://… or smtp://…?tls=true, "
            "or be console:, memory: or file:///folder."
        ) from None
    if "EMAIL_FILE_PATH" in parsed:
        parsed["EMAIL_FILE_PATH"] = folder / parsed["EMAIL_FILE_PATH"]
    return defaults | parsed


def _parse(url: str) -> dict[str, Any]:
    """What the library makes of it. Raises ValueError also for what the library passes over in silence."""
    parts = urlsplit(url)
    _ensure_understood(parts)
    if parts.scheme != "smtps":
        return {name: value for name, value in dj_email_url.parse(url).items() if value}
    # TLS from the first byte (RFC 8314 §3.3); the library takes it for STARTTLS.
    plain = _parse(parts._replace(scheme="smtp").geturl())
    return plain | {"EMAIL_PORT": parts.port or 465, "EMAIL_USE_SSL": True, "EMAIL_USE_TLS": False}


def _ensure_understood(parts: SplitResult) -> None:
    """Raises ValueError for a word that nobody reads: `?tsl=true` would send the password in clear, and nobody would notice."""
    is_file, parameters = parts.scheme == "file", parse_qsl(parts.query, strict_parsing=bool(parts.query))
    if parts.scheme not in SCHEMES or parts.fragment:
        raise ValueError
    if (is_file and len(parts.path) < 2) or (not is_file and parts.path not in {"", "/"}):
        raise ValueError
    for name, value in parameters:
        if name not in SWITCHES | OTHERS or (name in SWITCHES and value not in {"true", "false"}):
            raise ValueError
        if name == "_default_from_email" and ("@" not in value or not value.isprintable()):
            raise ValueError
