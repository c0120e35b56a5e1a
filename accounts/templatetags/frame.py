"""The components of pages as template tags: {% load frame %}."""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import result_headers
from django.utils.html import conditional_escape, escape, format_html, strip_tags
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext

from accounts import components

register = template.Library()
_XML = re.compile(r"^<\?xml[^>]*>\s*")
_CELL = re.compile(r"^<(t[hd])")


@register.simple_tag
def pill(text: str, tone: components.Tone = "quiet") -> SafeString:
    return components.pill(text, tone)


@register.simple_tag
def copyable(value: object, element_id: str = "") -> SafeString:
    return components.copyable(value, element_id=element_id)


@register.simple_tag
def when(instant: datetime | None) -> SafeString:
    return components.when(instant)


@register.simple_block_tag
def card(content: str, title: str = "", extra: str = "") -> SafeString:
    """{% card "Sessions" %}…{% endcard %}; `extra` is for more classes, such as "card--narrow"."""
    heading = format_html("<h2>{}</h2>", title) if title else ""
    return format_html('<section class="card {}">{}{}</section>', extra, heading, content)


@register.simple_block_tag
def notice(content: str, tone: str = "info") -> SafeString:
    """{% notice "warn" %}…{% endnotice %}: what somebody has to know before anything else on the page."""
    return format_html('<div class="notice notice--{}">{}</div>', tone, content)


@register.simple_tag
def empty_state(title: str, text: str = "") -> SafeString:
    """What it means that there is nothing here."""
    return format_html('<p class="empty"><strong>{}</strong>{}</p>', title, text)


@register.filter
def translated(text: Any) -> str:
    """In the reader's language, what Python names once for all: models, columns, fields (locale/*/django.po)."""
    plain = str(text)
    # Django writes the labels of forms with a capital, and the names they come from without.
    small = f"{plain[:1].lower()}{plain[1:]}"
    translation = gettext(small) if gettext(small) != small else gettext(plain) if plain else plain
    return translation if "_" in translation else capfirst(translation)


@register.filter
def safe_translated(text: Any) -> SafeString:
    """As `translated`, for help texts: Django's own hold lists."""
    return mark_safe(gettext(str(text))) if text else SafeString("")  # noqa: S308 - help texts are written by us and by Django


@register.filter
def as_json(value: Any) -> str:
    """For an attribute, where a script reads it."""
    return json.dumps(value)


@register.filter
def inline_svg(drawing: str) -> SafeString:
    """A drawing of the server's own, without the declaration that only a file of its own has."""
    return mark_safe(_XML.sub("", drawing))  # noqa: S308 - made by the server, of its own text


@register.filter
def has_markup(text: Any) -> bool:
    return "<" in str(text)


@register.simple_tag
def cells(result: Iterable[str], headers: list[dict[str, Any]]) -> SafeString:
    """The cells of a row of a list, each with its column's name, which a phone shows beside the value."""
    labelled = []
    for header, cell in zip(headers, result, strict=False):
        text = header["text"]
        label = "" if has_markup(text) else escape(translated(strip_tags(str(text))))
        labelled.append(_CELL.sub(lambda found, label=label: f'<{found[1]} data-label="{label}"', conditional_escape(cell), count=1))  # type: ignore[misc] # bound now
    return mark_safe("".join(labelled))  # noqa: S308 - Django's own cells, and an escaped label


@register.simple_tag
def headers_of(changelist: Any) -> list[dict[str, Any]]:
    return list(result_headers(changelist))
