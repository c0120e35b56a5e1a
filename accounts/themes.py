"""Light, dark, or as the system: what a person chose for their pages, kept in a cookie that a script of ours sets."""

from django.conf import settings
from django.http import HttpRequest

THEMES = ("light", "dark", "system")


def context(request: HttpRequest) -> dict[str, str]:
    """For every template: the chosen theme, and where it is kept."""
    chosen = request.COOKIES.get(settings.THEME_COOKIE_NAME, "")
    return {"theme": chosen if chosen in THEMES else "system", "theme_cookie": settings.THEME_COOKIE_NAME}
