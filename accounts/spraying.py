"""Notice password spraying: few guesses at each of many names, which no lock and hardly a ceiling sees.

Names are counted for each network, and for all networks together. It is told once an hour, and stops nobody.
"""

import logging

from accounts import audit, metrics, name_counts
from accounts.addresses import network_of

# More names than people of one household or office mistype their password for within an hour.
NAMES_OF_A_NETWORK = 20
# Guesses from everywhere show when they outnumber the people who sign in; below this the ratio says nothing.
NAMES_OF_ALL = 200

EVERYWHERE = "everywhere"
_FAILED, _VERIFIED = "failed", "verified"

logger = logging.getLogger(__name__)


def record_failure(name_digest: bytes, *, address: str | None) -> None:
    """Somebody failed to sign in under this name (lockout.digest_of), from this address."""
    network = network_of(address) or "unknown"
    groups = (f"{_FAILED}:{network}", f"{_FAILED}:{EVERYWHERE}")
    here, failed, verified = name_counts.add_and_count(name_digest, to=groups, of=(*groups, f"{_VERIFIED}:{EVERYWHERE}"))
    if here >= NAMES_OF_A_NETWORK:
        _report(network, names=here)
    if failed >= NAMES_OF_ALL and failed > verified:
        _report(EVERYWHERE, names=failed)


def record_success(name_digest: bytes) -> None:
    """Somebody proved to have this name's password."""
    name_counts.add(name_digest, to=f"{_VERIFIED}:{EVERYWHERE}")


def _report(network: str, *, names: int) -> None:
    if not name_counts.claim(network):
        return
    metrics.SPRAYS.inc()
    logger.warning("passwords are being sprayed", extra={"network": network, "names": names})
    detail = {"names": names, "window_seconds": name_counts.WINDOW_SECONDS}
    audit.record("network:password_spraying:detected", target=network, detail=detail)
