"""What scopes allow, in words for the person who is asked to grant them."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from oauth import scopes

_TEXTS: dict[str, Any] = {
    "api:read": _("Read your data"),
    "api:write": _("Change your data"),
    "auth:account": _("Change your profile, password and sessions"),
    "openid": _("Know that it is you"),
    "profile": _("See your name"),
    "email": _("See your e-mail address"),
    "roles": _("See your roles"),
    "offline_access": _("Stay signed in while you are away"),
}


def sentences(scope: str) -> list[Any]:
    """One for each scope; one that has none is shown as it is."""
    return [_TEXTS.get(each, each) for each in sorted(scopes.parse(scope))]
