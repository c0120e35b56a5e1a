"""The two headers of RFC 6750: what a client sends, and what it is told when that does not do."""

from collections.abc import Iterable


def bearer_token(authorization: Iterable[str]) -> str | None:
    """The token of the Authorization headers of a request; None when they hold no Bearer credentials.

    Two headers become one that is no token: which of them counts is nothing to guess at.
    """
    scheme, _, token = ",".join(authorization).strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def challenge(error: str | None = None, *, scope: str | None = None) -> str:
    """The value of WWW-Authenticate. Without an error it asks for a token: nothing is said of one that never came (§3.1)."""
    parameters = {"realm": "api", "error": error, "scope": scope}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value is not None)
