"""Where a request came from: the nearest hop that is not one of our own proxies."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(*, peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str | None:
    """The right-most address of X-Forwarded-For that is no trusted proxy; the peer where no proxy is trusted.

    `peer` is the address of the connection. What cannot be parsed ends the walk at the last address known.
    Returns None when the peer itself has no address (a Unix socket).
    """
    current = _parse(peer)
    if current is None or not _is_trusted(current, trusted):
        return None if current is None else str(current)
    # SECURITY: from the right: everything left of the first untrusted hop was written by the client.
    for hop in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        address = _parse(hop)
        if address is None:
            return str(current)
        current = address
        if not _is_trusted(address, trusted):
            break
    return str(current)


def is_trusted_proxy(peer: str, *, trusted: Sequence[Network]) -> bool:
    address = _parse(peer)
    return address is not None and _is_trusted(address, trusted)


def network_of(address: str | None) -> str | None:
    """The /24 of an IPv4 address, the /64 of an IPv6 address: what one household or office shares."""
    parsed = _parse(address or "")
    if parsed is None:
        return None
    prefix = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network((parsed, prefix), strict=False))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """The same few come again and again, and reading one costs as much as a tag."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
