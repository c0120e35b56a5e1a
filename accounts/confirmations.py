"""A code from a mail that proves an address: of a new account, or of one whose address changes."""

from accounts import email_change, one_time_tokens, registration
from accounts.actors import Actor
from accounts.one_time_tokens import REGISTRATION


def confirm(code: str, *, language: str, actor: Actor) -> None:
    """Raises one_time_tokens.InvalidCode."""
    if one_time_tokens.find_owner(code, purpose=REGISTRATION) is not None:
        registration.confirm(code, actor=actor)
    else:
        email_change.confirm(code, language=language, actor=actor)
