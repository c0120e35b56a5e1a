"""The small pieces that pages are made of, for Python and for templates (docs/admin-frame.md): one look for one meaning."""

from datetime import UTC, datetime
from typing import Literal

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

Tone = Literal["ok", "warn", "bad", "info", "quiet"]


def pill(text: str, tone: Tone = "quiet") -> SafeString:
    """A state in a word; the colour repeats what the word says."""
    return format_html('<span class="pill pill--{}">{}</span>', tone, text)


def copyable(value: object, *, element_id: str = "") -> SafeString:
    """An id with a button that copies it. `element_id` where the same value stands twice on a page."""
    text = str(value)
    return format_html(
        '<span class="copyable"><code id="{0}">{1}</code><button type="button" data-copy="{0}" data-copied="{2}" hidden data-needs-script>'
        '{3}<span class="visually-hidden"> {1}</span></button></span>',
        element_id or f"copy-{text}",
        text,
        gettext("Copied"),
        gettext("Copy"),
    )


def when(instant: datetime | None, *, nothing: str = "—") -> SafeString:
    """An instant in UTC; where scripts run it is shown by the reader's clock, and UTC when pointed at."""
    if instant is None:
        return format_html('<span class="quiet">{}</span>', nothing)
    utc = instant.astimezone(UTC)
    return format_html('<time datetime="{}" data-local>{}</time>', utc.isoformat(timespec="seconds"), f"{utc:%Y-%m-%d %H:%M:%S} UTC")
