"""Decides to which addresses a connection may be made.

A worker runs inside somebody's network and takes URLs from settings, so it could be made to call ``http://router/`` or
a cloud's metadata address. The check is made on the address itself, after DNS, at the moment of connecting, so that no
name and no redirect gets around it.

A connection's setting ``allow_private_addresses`` allows more: ``true`` for all addresses, or a list of networks
(``["10.1.0.0/16"]``).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

from connectors.errors import BadConnection

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefusedError(OSError):
    """The address is not a public one, and the connection does not allow it."""


class AddressGuard:
    """Makes sockets for allowed addresses only. aiohttp calls it with each address that it is about to connect to."""

    def __init__(self, allow: bool | Sequence[str] = False) -> None:
        self._all = allow is True
        self._networks = () if isinstance(allow, bool) else tuple(_network(text) for text in allow)

    def __call__(self, addr_info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = addr_info
        if not self._all and not self.allows(address[0]):
            raise AddressRefusedError(
                f"{address[0]} is not a public address; the setting allow_private_addresses lets a connection go there"
            )
        return socket.socket(family=family, type=kind, proto=protocol)

    def allows(self, text: str) -> bool:
        address = _embedded(ipaddress.ip_address(text.partition("%")[0]))
        if address.is_global and not address.is_multicast:
            return True
        return any(address.version == network.version and address in network for network in self._networks)


def _embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (a tunnel), so that it is checked as well."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise BadConnection(f"allow_private_addresses: {text!r} is not a network such as 10.1.0.0/16") from error
