"""How the password hashes of other systems verify, until their users sign in and get Argon2id (accounts/foreign_hashes.py).

Only the NFC form of a password is tried, as with our own. What the other system hashed in another form does not verify: a
second try would double the time, and the time would tell that there is such a user.
"""

import base64
import hashlib
import hmac
from typing import Any

import bcrypt
from django.contrib.auth.hashers import (
    BasePasswordHasher,
    BCryptPasswordHasher,
    BCryptSHA256PasswordHasher,
    PBKDF2PasswordHasher,
    PBKDF2SHA1PasswordHasher,
    ScryptPasswordHasher,
)

from accounts.passwords import normalized

BCRYPT_BYTES = 72
_NEVER_SHOWN = {"salt", "hash", "checksum"}


class ForeignHasher(BasePasswordHasher):
    """Whatever is wrong with a stored hash is a wrong password, and no failure of the server."""

    def verify(self, password: str, encoded: str) -> bool:
        try:
            return super().verify(normalized(password), encoded)
        except ValueError:
            return False

    def safe_summary(self, encoded: str) -> Any:
        """Nothing of the salt or the hash, of which Django shows the beginnings."""
        return {name: value for name, value in self.decode(encoded).items() if name not in _NEVER_SHOWN}

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing: accounts.even_time makes refusals last alike."""


class PBKDF2SHA256Hasher(ForeignHasher, PBKDF2PasswordHasher):
    """`pbkdf2_sha256$iterations$salt$hash`."""


class PBKDF2SHA1Hasher(ForeignHasher, PBKDF2SHA1PasswordHasher):
    """`pbkdf2_sha1$iterations$salt$hash`."""


class ScryptHasher(ForeignHasher, ScryptPasswordHasher):
    """`scrypt$N$salt$r$p$hash`."""

    maxmem = 192 * 2**20  # OpenSSL's own limit of 32 MiB is less than OWASP's parameters need


class BCryptSHA256Hasher(ForeignHasher, BCryptSHA256PasswordHasher):
    """`bcrypt_sha256$$2b$cost$…`: every byte of the password counts."""


class BCryptHasher(ForeignHasher, BCryptPasswordHasher):
    """`bcrypt$$2b$cost$…`: the first 72 bytes of a password count, as for every system that makes these hashes.

    A longer password is cut here, and nowhere else, or its owner could not sign in any more. The sign-in stores
    Argon2id over all that was typed, so from then on every byte counts.
    """

    def verify(self, password: str, encoded: str) -> bool:
        stored = encoded.removeprefix(f"{self.algorithm}$").encode("ascii", "replace")
        try:
            return bcrypt.checkpw(normalized(password).encode()[:BCRYPT_BYTES], stored)
        except ValueError:
            return False


class PasslibPBKDF2Hasher(ForeignHasher):
    """`pbkdf2-sha256$iterations$salt$hash`, both in base64 with `.` for `+`; the salt is any bytes."""

    algorithm = "pbkdf2-sha256"

    def decode(self, encoded: str) -> dict[str, Any]:
        algorithm, iterations, salt, digest = encoded.split("$")
        return {"algorithm": algorithm, "iterations": int(iterations), "salt": _ab64(salt), "hash": _ab64(digest)}

    def verify(self, password: str, encoded: str) -> bool:
        try:
            stored = self.decode(encoded)
            computed = hashlib.pbkdf2_hmac("sha256", normalized(password).encode(), stored["salt"], stored["iterations"])
        except ValueError:
            return False
        return hmac.compare_digest(computed, stored["hash"])


def _ab64(text: str) -> bytes:
    return base64.b64decode(text.replace(".", "+") + "=" * (-len(text) % 4), validate=True)
