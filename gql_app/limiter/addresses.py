"""Whose address it is that limits count for."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

HOUSEHOLD = 64
"""Bits of an IPv6 address that one customer has at least (RFC 6177): the others are hers to choose."""


@lru_cache(4096)
def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one. Other texts stay as they are."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ip_network((found, HOUSEHOLD), strict=False))
    return str(found)


def is_within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    if not networks:
        return False
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    plain = (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
    return any(plain.version == each.version and plain in each for each in networks)
