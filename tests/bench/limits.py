"""What this machine can do at best: signatures and password hashes, without a server around them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from nacl import pwhash

from tests.bench.load import in_a_process_of_its_own

ARGON2_MEMORY_KIB, ARGON2_PASSES = 19456, 2  # the server's defaults
_SIGNED = b"x" * 600  # about what a token's header and claims are


@dataclass(frozen=True)
class Speed:
    """How often one process did something in a second, and what each time cost."""

    per_second: float
    cpu_ms: float


def rsa_signatures(seconds: float) -> Speed:
    return _at_once(_sign, seconds, processes=1)


def argon2_verifies(seconds: float, *, processes: int) -> Speed:
    """Of all processes together."""
    return _at_once(_verify, seconds, processes=processes)


def _at_once(work: Callable[[float], Speed], seconds: float, *, processes: int) -> Speed:
    waits = [in_a_process_of_its_own(work, seconds) for _ in range(processes)]
    speeds = [wait() for wait in waits]
    return Speed(sum(speed.per_second for speed in speeds), sum(speed.cpu_ms for speed in speeds) / processes)


def _sign(seconds: float) -> Speed:
    key, padding, digest = generate_private_key(65537, 2048), PKCS1v15(), SHA256()
    return _repeated(lambda: key.sign(_SIGNED, padding, digest), seconds)


def _verify(seconds: float) -> Speed:
    encoded = pwhash.argon2id.str(b"password123", opslimit=ARGON2_PASSES, memlimit=ARGON2_MEMORY_KIB * 1024)
    return _repeated(lambda: pwhash.verify(encoded, b"password123"), seconds)


def _repeated(act: Callable[[], object], seconds: float) -> Speed:
    act()
    times, began_at, cpu = 0, time.perf_counter(), time.process_time()
    while (duration := time.perf_counter() - began_at) < seconds or not times:
        act()
        times += 1
    return Speed(times / duration, 1000 * (time.process_time() - cpu) / times)
