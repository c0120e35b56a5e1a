"""What the scopes mean, in words for the person who is asked."""

from django.utils.translation import gettext_lazy as _

from oauth import scopes

# In the order of the page: who one is, then what the app may do.
TEXTS = {
    "openid": _("Know who you are on this server"),
    "profile": _("See your name"),
    "email": _("See your e-mail address"),
    "roles": _("See your roles"),
    "api:read": _("Read your data"),
    "api:write": _("Change your data"),
    "auth:account": _("Change your profile, password and sessions"),
    "auth:admin": _("Manage users, apps and keys of this server, as far as your role goes"),
    "offline_access": _("Stay signed in while you are away"),
}


def explained(scope: str) -> list[str]:
    """A sentence for each; one that this server has no words for stands for itself."""
    asked = scopes.parse(scope)
    known = [str(text) for name, text in TEXTS.items() if name in asked]
    return known + sorted(asked - set(TEXTS))
