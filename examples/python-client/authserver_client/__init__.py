"""Sign a user in to authserver and keep them signed in, with httpx."""

from authserver_client.clients import AsyncAuthClient, AuthClient
from authserver_client.errors import (
    AccountLocked,
    AuthError,
    InvalidClient,
    InvalidGrant,
    MfaRequired,
    RateLimited,
    TemporarilyUnavailable,
    TryLater,
)
from authserver_client.stores import FileStore, KeyringStore, MemoryStore, TokenStore
from authserver_client.tokens import Tokens

__all__ = [
    "AccountLocked",
    "AsyncAuthClient",
    "AuthClient",
    "AuthError",
    "FileStore",
    "InvalidClient",
    "InvalidGrant",
    "KeyringStore",
    "MemoryStore",
    "MfaRequired",
    "RateLimited",
    "TemporarilyUnavailable",
    "TokenStore",
    "Tokens",
    "TryLater",
]
