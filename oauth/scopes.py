"""Scopes: the string of the wire and the set of its words (RFC 6749 §3.3). Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")

ACCOUNT = "auth:account"
ADMIN = "auth:admin"
OPENID = "openid"
OFFLINE_ACCESS = "offline_access"
NEVER_DEFAULT = frozenset({ACCOUNT, ADMIN})
NEVER_BY_PASSWORD = frozenset({ADMIN})
# Whoever is talked into typing a stranger's code lets the stranger in (RFC 8628 §5.4): never as an administrator.
NEVER_BY_DEVICE = frozenset({ADMIN})


class Malformed(ValueError):
    """The string is no scope of RFC 6749."""


@lru_cache(maxsize=1024)  # three times in a refresh, and of few texts
def parse(scope: str) -> frozenset[str]:
    """Raises Malformed. The empty string is the empty set."""
    if scope and not _SCOPE.fullmatch(scope):
        raise Malformed
    return frozenset(scope.split(" ")) if scope else frozenset()


def format(scopes: Iterable[str]) -> str:
    """The one spelling of a set of scopes: sorted, parted by single spaces."""
    return " ".join(sorted(scopes))
