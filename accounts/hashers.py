"""Argon2id in Django's own encoded form, so that hashes of Django's argon2 hasher verify here.

libsodium gives the same hashes as argon2-cffi in half the time, and lets other threads run meanwhile. An operator may leave those of this
server's own form to a library that is built for the machine (accounts/libargon2.py).
"""

import base64
import re
import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import BasePasswordHasher
from nacl import pwhash
from nacl.exceptions import CryptoError

from accounts import libargon2
from accounts.passwords import normalized

_SALT_BYTES = pwhash.argon2id.SALTBYTES
_HASH_BYTES = 32
# As `encode` writes it: of the last letters of salt and hash the bits that count for nothing are zero.
_OWN = re.compile(r"argon2\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$([A-Za-z0-9+/]{21}[AQgw])\$[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]", re.ASCII)


class Argon2idHasher(BasePasswordHasher):
    """`argon2$argon2id$v=19$m=…,t=…,p=1$salt$hash` (RFC 9106 §3.1); `m` in KiB."""

    algorithm = "argon2"

    def salt(self) -> str:
        return _b64(secrets.token_bytes(_SALT_BYTES))

    def encode(self, password: str, salt: str) -> str:
        memory, time = settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST
        digest = _argon2id(normalized(password).encode(), _unb64(salt), memory_kib=memory, passes=time)
        return f"{self.algorithm}$argon2id$v=19$m={memory},t={time},p=1${salt}${_b64(digest)}"

    def decode(self, encoded: str) -> dict[str, Any]:
        algorithm, variety, version, parameters, salt, digest = encoded.split("$", 5)
        numbers = dict(part.split("=", 1) for part in parameters.split(","))
        return {
            "algorithm": algorithm,
            "variety": variety,
            "version": int(version.removeprefix("v=")),
            "memory_cost": int(numbers["m"]),
            "time_cost": int(numbers["t"]),
            "parallelism": int(numbers["p"]),
            "salt": salt,
            "hash": digest,
        }

    def verify(self, password: str, encoded: str) -> bool:
        own = _OWN.fullmatch(encoded)
        if libargon2.named() and own and (int(own[1]), int(own[2])) == (settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST):
            # SECURITY: in constant time, as libsodium compares below.
            return secrets.compare_digest(self.encode(password, own[3]), encoded)
        try:
            return pwhash.verify(encoded.removeprefix(self.algorithm).encode(), normalized(password).encode())
        except CryptoError:
            return False

    def must_update(self, encoded: str) -> bool:
        decoded = self.decode(encoded)
        return (decoded["variety"], decoded["version"], decoded["memory_cost"], decoded["time_cost"], decoded["parallelism"]) != (
            "argon2id",
            19,
            settings.ARGON2_MEMORY_KIB,
            settings.ARGON2_TIME_COST,
            1,
        )

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing: the time depends on the memory, and cannot be filled up in proportion."""

    def safe_summary(self, encoded: str) -> Any:
        """What may be shown of a hash: how it was made, nothing of the salt or the hash."""
        decoded = self.decode(encoded)
        return {name: decoded[name] for name in ("algorithm", "variety", "version", "memory_cost", "time_cost", "parallelism")}


def _argon2id(password: bytes, salt: bytes, *, memory_kib: int, passes: int) -> bytes:
    library = libargon2.named()
    if library is not None:
        return library.argon2id(password, salt, memory_kib=memory_kib, passes=passes, length=_HASH_BYTES)
    return pwhash.argon2id.kdf(_HASH_BYTES, password, salt, opslimit=passes, memlimit=memory_kib * 1024)


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


def _unb64(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4))
