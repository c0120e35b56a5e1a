"""Password hashes of other systems: which kinds are taken in, in which form they are stored, and what they may cost at each sign-in."""

import base64
import binascii
import re
from collections.abc import Callable

from accounts.models import User

MAX_LENGTH = User._meta.get_field("password").max_length or 0

# Each is under a second of one core: whoever types any password at a name has this computed.
MAX_ARGON2_MEMORY_KIB = 262_144
MAX_ARGON2_WORK_KIB = 1_048_576  # memory times passes
MAX_PBKDF2_ITERATIONS = 2_000_000
MAX_SCRYPT_BLOCKS = 2**20  # N times r: of 128 bytes each
MAX_SCRYPT_WORK = 2**21  # times p
MAX_BCRYPT_COST = 14

KINDS = (
    "argon2, pbkdf2_sha256, pbkdf2_sha1, scrypt, bcrypt and bcrypt_sha256 as Django writes them, "
    "$argon2id$, $argon2i$, $2a$, $2b$, $2y$ and passlib's $pbkdf2-sha256$"
)

_NUMBER = r"([1-9]\d{0,9})"
_B64 = r"([A-Za-z0-9+/]+)"
_SALT = r"([!-#%-~]+)"  # of Django: printable, without $
_BCRYPT = r"\$2([aby])\$([0-3]\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})"
_BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DIGEST_BYTES = {"pbkdf2_sha256": 32, "pbkdf2_sha1": 20, "pbkdf2-sha256": 32, "scrypt": 64}


class InvalidHash(ValueError):
    """A hash that is not taken in. The message says why and quotes nothing of it."""


def translate(text: str) -> str:
    """The form that accounts.hashers and accounts.foreign_hashers verify. Nothing is lost: what verified there verifies here.

    Raises InvalidHash, also for a hash that would be costly to verify.
    """
    for pattern, read in _READERS:
        match = pattern.fullmatch(text)
        if match is not None:
            encoded = read(*match.groups())
            if len(encoded) > MAX_LENGTH:
                raise InvalidHash(f"password_hash is longer than {MAX_LENGTH} characters")
            return encoded
    raise InvalidHash(f"password_hash is of none of the kinds {KINDS}")


def _argon2(variety: str, memory: str, time: str, lanes: str, salt: str, digest: str) -> str:
    _ensure_at_most("memory of argon2 in KiB", int(memory), MAX_ARGON2_MEMORY_KIB)
    _ensure_at_most("memory times passes of argon2 in KiB", int(memory) * int(time), MAX_ARGON2_WORK_KIB)
    if int(memory) < 8 * int(lanes) or _size(salt) < 8 or _size(digest) < 16:
        raise InvalidHash("password_hash is an argon2 hash with parameters that RFC 9106 does not allow, or too short")
    return f"argon2${variety}$v=19$m={memory},t={time},p={lanes}${salt}${digest}"


def _pbkdf2(algorithm: str, iterations: str, salt: str, digest: str) -> str:
    _ensure_at_most("iterations of PBKDF2", int(iterations), MAX_PBKDF2_ITERATIONS)
    _ensure_size(digest.rstrip("="), algorithm)
    return f"{algorithm}${iterations}${salt}${digest}"


def _passlib_pbkdf2(algorithm: str, iterations: str, salt: str, digest: str) -> str:
    """Its salt is bytes, for which Django's encoding has no form: it stays as it is, without the `$` in front."""
    _ensure_at_most("iterations of PBKDF2", int(iterations), MAX_PBKDF2_ITERATIONS)
    _size(salt.replace(".", "+"))
    _ensure_size(digest.replace(".", "+"), algorithm)
    return f"{algorithm}${iterations}${salt}${digest}"


def _scrypt(n: str, salt: str, r: str, p: str, digest: str) -> str:
    blocks = int(n) * int(r)
    _ensure_at_most("N times r of scrypt", blocks, MAX_SCRYPT_BLOCKS)
    _ensure_at_most("N times r times p of scrypt", blocks * int(p), MAX_SCRYPT_WORK)
    if int(n) < 2 or int(n).bit_count() != 1:
        raise InvalidHash("password_hash is a scrypt hash whose N is no power of two")
    _ensure_size(digest.rstrip("="), "scrypt")
    return f"scrypt${n}${salt}${r}${p}${digest}"


def _bcrypt(variety: str, cost: str, salt: str, digest: str) -> str:
    return f"bcrypt${_bcrypt_text(variety, cost, salt, digest)}"


def _bcrypt_sha256(variety: str, cost: str, salt: str, digest: str) -> str:
    return f"bcrypt_sha256${_bcrypt_text(variety, cost, salt, digest)}"


def _bcrypt_text(variety: str, cost: str, salt: str, digest: str) -> str:
    """Some libraries left rubbish in the bits that the last characters have to spare; ours refuses it."""
    _ensure_at_most("cost of bcrypt", int(cost), MAX_BCRYPT_COST)
    if int(cost) < 4:
        raise InvalidHash("password_hash is a bcrypt hash whose cost is under 4")
    return f"$2{variety}${cost}${_without_spare_bits(salt, 4)}{_without_spare_bits(digest, 2)}"


def _without_spare_bits(text: str, bits: int) -> str:
    return text[:-1] + _BCRYPT_ALPHABET[_BCRYPT_ALPHABET.index(text[-1]) >> bits << bits]


def _ensure_at_most(name: str, value: int, limit: int) -> None:
    # SECURITY: or one line of a file makes every sign-in with that name a way to stop the server.
    if value > limit:
        raise InvalidHash(f"password_hash has a {name} of {value}, over the limit of {limit}")


def _ensure_size(digest: str, algorithm: str) -> None:
    if _size(digest) != _DIGEST_BYTES[algorithm]:
        raise InvalidHash(f"password_hash is a {algorithm} hash that is cut short, or otherwise broken")


def _size(text: str) -> int:
    """How many bytes this is, in base64 without padding. Raises InvalidHash for what would never compare equal."""
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        value = b""
    if base64.b64encode(value).decode().rstrip("=") != text:
        raise InvalidHash("password_hash is broken: part of it is no base64")
    return len(value)


_READERS: tuple[tuple[re.Pattern[str], Callable[..., str]], ...] = (
    (re.compile(rf"(?:argon2)?\$(argon2id|argon2i)\$v=19\$m={_NUMBER},t={_NUMBER},p={_NUMBER}\${_B64}\${_B64}"), _argon2),
    (re.compile(rf"(pbkdf2_sha256|pbkdf2_sha1)\${_NUMBER}\${_SALT}\$([A-Za-z0-9+/]+=)"), _pbkdf2),
    (re.compile(rf"\$?(pbkdf2-sha256)\${_NUMBER}\$([./A-Za-z0-9]*)\$([./A-Za-z0-9]+)"), _passlib_pbkdf2),
    (re.compile(rf"scrypt\${_NUMBER}\${_SALT}\${_NUMBER}\${_NUMBER}\$([A-Za-z0-9+/]+==)"), _scrypt),
    (re.compile(rf"(?:bcrypt\$)?{_BCRYPT}"), _bcrypt),
    (re.compile(rf"bcrypt_sha256\${_BCRYPT}"), _bcrypt_sha256),
)
