"""Present a password at a door of the tests."""

from accounts import authentication
from accounts.authentication import Authenticated, Door


def authenticate(identifier: str, *, password: str, address: str = "192.0.2.1") -> Authenticated:
    return authentication.authenticate(identifier, password=password, door=Door("token", address=address))
