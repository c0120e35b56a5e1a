"""Services that verify access tokens by themselves, each with a library and a habit of its own of keeping the key set."""

import json
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import joserfc.jwk
import joserfc.jwt
import jwt
from jose import jwt as python_jose

from tests.e2e.servers import ISSUER

AUDIENCE = "codelab-api"
ALGORITHMS = ["RS256"]
AGAIN_EVERY = 5  # tokens: one that is older is shown once more
_dice = random.Random(20260101)


@dataclass(frozen=True)
class Token:
    value: str
    kid: str
    received_at: float  # time.time()
    expires_at: int


class Unknown(Exception):
    """The verifier's key set has no such key."""


class KeptSet:
    """The published keys, fetched again when they are older than `max_age` by a clock that is `off`, and never before."""

    def __init__(self, url: str, *, max_age: float, off: float = 0) -> None:
        self._url, self._max_age, self._off = url, max_age, off
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched_at = 0.0
        self.fetches = 0

    def now(self) -> float:
        return time.time() + self._off

    def find(self, kid: str) -> dict[str, Any]:
        if self.now() - self._fetched_at > self._max_age:
            self._keys = {key["kid"]: key for key in httpx.get(self._url, timeout=20).json()["keys"]}
            self._fetched_at = self.now()
            self.fetches += 1
        if kid not in self._keys:
            raise Unknown(kid)
        return self._keys[kid]


def by_python_jose(kept: KeptSet) -> Callable[[str], None]:
    """As the integration guide has it: kept for so long, and an unknown kid is refused."""

    def verify(token: str) -> None:
        key = kept.find(python_jose.get_unverified_header(token)["kid"])
        python_jose.decode(token, key, algorithms=ALGORITHMS, audience=AUDIENCE, issuer=ISSUER)

    return verify


def by_pyjwt(url: str, *, max_age: float) -> Callable[[str], None]:
    """Fetches again for a kid that it does not know."""
    keys = jwt.PyJWKClient(url, lifespan=max_age)

    def verify(token: str) -> None:
        jwt.decode(token, keys.get_signing_key_from_jwt(token), algorithms=ALGORITHMS, audience=AUDIENCE, issuer=ISSUER)

    return verify


def by_joserfc(kept: KeptSet) -> Callable[[str], None]:
    """By a clock that is off, with as much patience about the times in the token."""
    expected = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}, "exp": {"essential": True}}

    def verify(token: str) -> None:
        key = joserfc.jwk.RSAKey.import_key(kept.find(jwt.get_unverified_header(token)["kid"]))
        claims = joserfc.jwt.decode(token, key, algorithms=ALGORITHMS).claims
        joserfc.jwt.JWTClaimsRegistry(now=lambda: int(kept.now()), leeway=30, **expected).validate(claims)

    return verify


class Node:
    """npm's jose in a process of its own."""

    def __init__(self, folder: Path, url: str, *, max_age: float) -> None:
        self._process = subprocess.Popen(
            ["node", "remote.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", bufsize=1
        )
        options = {"algorithms": ALGORITHMS, "audience": AUDIENCE, "issuer": ISSUER, "typ": "at+jwt"}
        self._say(json.dumps({"url": url, "maxAge": max_age * 1000, "cooldown": 30_000} | options))

    def verify(self, token: str) -> None:
        self._say(token)
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if answer != "ok":
            raise Unknown(answer)

    def close(self) -> None:
        with self._process:  # closes the pipes, and waits
            pass

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")


@dataclass
class Verifier:
    """Is shown every token at once, and older ones again while they live."""

    name: str
    verify: Callable[[str], None]
    refused: list[tuple[Token, float, str]] = field(default_factory=list)  # the token, when, why
    counts: Counter[str] = field(default_factory=Counter)

    def watch(self, tokens: list[Token], stop: threading.Event) -> None:
        seen = 0
        while not (stop.is_set() and seen == len(tokens)):
            if seen == len(tokens):
                time.sleep(0.01)
                continue
            self._look_at(tokens[seen], "new")
            seen += 1
            if seen % AGAIN_EVERY == 0:
                older = tokens[_dice.randrange(seen)]
                if older.expires_at - time.time() > 2:
                    self._look_at(older, "again")

    def _look_at(self, token: Token, kind: str) -> None:
        at = time.time()
        try:
            self.verify(token.value)
        except Exception as refusal:  # noqa: BLE001 - each library has errors of its own
            self.refused.append((token, at, f"{type(refusal).__name__}: {refusal}"))
        self.counts[kind] += 1
