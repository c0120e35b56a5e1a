"""A User-Agent in words that a person knows a device by; a guess, from what any program may claim."""

import re
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

# The first that fits; browsers name each other, so the order decides.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/|Opera", "Opera"),
    ("YaBrowser", "Yandex Browser"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox|FxiOS", "Firefox"),
    ("Chrome|CriOS", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh|Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux|X11", "Linux"),
)
_UNKNOWN: Any = _("unknown device")
_PRODUCT = re.compile(r"[A-Za-z][\w.+-]{0,30}")


def in_words(user_agent: str) -> str:
    """Such as "Firefox on Windows"; of a program that is no browser, the name it begins with."""
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    product = _PRODUCT.match(user_agent)
    if browser or system:
        return browser or system
    return product.group() if product else str(_UNKNOWN)


def _first(table: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for pattern, name in table if re.search(pattern, user_agent)), "")
