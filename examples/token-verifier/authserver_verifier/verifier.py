"""The verifier: the pure checks, with the keys of a server."""

import logging
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from authserver_verifier.checking import AccessToken, Rules, check, read_header
from authserver_verifier.errors import InvalidToken
from authserver_verifier.key_cache import USUAL_POLICY, CachePolicy, KeyCache

logger = logging.getLogger("authserver_verifier")


class Verifier:
    """One per process, shared by all of its threads. It asks nobody about a token: until `exp` it is good, whatever happened since."""

    def __init__(
        self, rules: Rules, *, jwks_url: str = "", policy: CachePolicy = USUAL_POLICY, clock: Callable[[], float] = time.time
    ) -> None:
        url = jwks_url or f"{rules.issuer.rstrip('/')}/.well-known/jwks.json"
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ValueError(f"AUTH_JWKS_URL has to be an http(s) address, and so has AUTH_ISSUER without it: {url!r}")
        self.rules = rules
        self._keys, self._clock = KeyCache(url, policy), clock

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Verifier":
        """Read AUTH_ISSUER, AUTH_AUDIENCE, AUTH_JWKS_URL, AUTH_LEEWAY_SECONDS, AUTH_ACCEPT_OLDER_TOKENS. Raises ValueError."""
        issuer = environ.get("AUTH_ISSUER", "")
        if not issuer:
            raise ValueError("AUTH_ISSUER is missing: set it to the issuer of the tokens, letter by letter, as http://localhost:8003")
        leeway = environ.get("AUTH_LEEWAY_SECONDS", "60")
        if not leeway.isdecimal() or int(leeway) > 300:
            raise ValueError("AUTH_LEEWAY_SECONDS has to be a whole number from 0 to 300")
        older = environ.get("AUTH_ACCEPT_OLDER_TOKENS", "false").lower()
        if older not in {"true", "false"}:
            raise ValueError("AUTH_ACCEPT_OLDER_TOKENS has to be true or false")
        rules = Rules(issuer, environ.get("AUTH_AUDIENCE") or "codelab-api", int(leeway), accept_older_tokens=older == "true")
        return cls(rules, jwks_url=environ.get("AUTH_JWKS_URL", ""))

    def verify(self, token: str, *, wait: bool = True) -> AccessToken:
        """The token, if it is good now. It may wait for the key set, a few seconds at most, unless `wait` is False.

        Raises InvalidToken, VerifierUnavailable, KeyNotAtHand.
        """
        try:
            return self._verified(token, wait=wait)
        except InvalidToken as error:
            logger.info("An access token was refused: %s.", error)
            raise

    def _verified(self, token: str, *, wait: bool) -> AccessToken:
        header = read_header(token, rules=self.rules)
        key = self._keys.find(header.kid, wait=wait)
        if key is None:
            raise InvalidToken("signed with a key that the server does not publish")
        return check(token, header=header, key=key, rules=self.rules, now=self._clock())

    def seconds_left(self, token: AccessToken) -> float:
        """Until `exp`, without any leeway."""
        return token.expires_at - self._clock()
