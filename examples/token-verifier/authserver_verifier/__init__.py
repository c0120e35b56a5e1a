"""Verifies access tokens of authserver (RFC 9068) offline, with the keys that it publishes."""

from authserver_verifier.challenges import bearer_token, challenge
from authserver_verifier.checking import AccessToken, Rules
from authserver_verifier.errors import InvalidToken, KeyNotAtHand, VerifierUnavailable
from authserver_verifier.key_cache import CachePolicy
from authserver_verifier.verifier import Verifier

__all__ = [
    "AccessToken",
    "CachePolicy",
    "InvalidToken",
    "KeyNotAtHand",
    "Rules",
    "Verifier",
    "VerifierUnavailable",
    "bearer_token",
    "challenge",
]
