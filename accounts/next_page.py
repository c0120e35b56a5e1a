"""Where somebody goes on after a form: a path of this server and nothing else, or their own first page."""

import unicodedata

from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import User


def is_ours(url: str) -> bool:
    """Whether it is a path of this server, with or without a query, that every browser reads as one."""
    # SECURITY: browsers drop control characters and read \\ as /: a tab between two slashes leads away.
    has_tricks = "\\" in url or any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in url)
    return url.startswith("/") and not has_tricks and url_has_allowed_host_and_scheme(url, allowed_hosts=None)


def first_page_of(user: User) -> str:
    """Without a wish of their own staff come to the admin, and everybody else to their account."""
    return "/admin/" if user.is_staff else "/account"
