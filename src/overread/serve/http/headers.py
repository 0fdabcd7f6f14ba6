"""Headers that protect a browser's user, and what headers of a request are believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from overread.errors import ConfigError
from overread.serve.http.problems import Problem

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), geolocation=(), microphone=()"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Origin:
    """Where a request really comes from and what it was sent to, behind any trusted proxies."""

    client: str
    scheme: str
    host: str
    proxied: bool


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks (10.0.0.0/8) of trusted proxies; ConfigError for anything else."""
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise ConfigError(
            f"is not an address or a network ({error})",
            where="--trusted-proxy",
            hint="Write it as 10.0.0.7 or 10.0.0.0/8.",
        ) from error


def origin_of(
    headers: Mapping[str, str], peer: str, scheme: str, proxies: tuple[Network, ...]
) -> Origin:
    """X-Forwarded-For, -Proto and -Host count only when `peer` is a trusted proxy.

    The client is the last address of X-Forwarded-For that is not a trusted proxy: what stands
    before it was written by the client itself.
    """
    host = headers.get("host", "")
    if not is_inside(peer, proxies):
        return Origin(peer, scheme, host, False)
    # A proxy may write a line of its own under that of the client: all of them are one list.
    lines = ",".join(all_values(headers, "x-forwarded-for"))
    hops = [_without_port(hop.strip()) for hop in lines.split(",") if hop.strip()]
    client = next((hop for hop in reversed(hops) if not is_inside(hop, proxies)), peer)
    told = headers.get("x-forwarded-proto", "").strip().lower()
    return Origin(
        client,
        told if told in ("http", "https") else scheme,
        headers.get("x-forwarded-host", "").strip() or host,
        True,
    )


def check_host(host: str, allowed: tuple[str, ...]) -> None:
    """Refuse a Host that is not one of `allowed`: a foreign page may point its own name here."""
    if allowed and host_name(host) not in allowed:
        raise Problem(
            421,
            "wrong-host",
            "this server is not known by that name",
            hint="Use its address, or start it with --allow-host NAME.",
        )


def check_same_site(method: str, headers: Mapping[str, str], host: str) -> None:
    """Refuse what a page of another site makes a browser send (CSRF).

    Browsers say where a request comes from in Sec-Fetch-Site and Origin, and no page can forge
    them; programs like curl send neither.
    """
    if method in SAFE_METHODS:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
    if foreign:
        raise Problem(
            403, "cross-site", "the request was sent by another site", hint="Use the page itself."
        )


def host_name(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def all_values(headers: Mapping[str, str], name: str) -> list[str]:
    """Every value of a header (name in lower case): a plain mapping has one at most, Starlette's
    keeps repeats."""
    several = getattr(headers, "getlist", None)
    if several is not None:
        return list(several(name))
    return [value for key, value in headers.items() if key.lower() == name]


def parse_address(text: str) -> Address | None:
    """An address, that of IPv4 as such also where a socket for both kinds shows it as IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach `host`, an address or a name."""
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback


def is_inside(text: str, networks: Iterable[Network]) -> bool:
    """Whether `text` is an address in one of `networks`."""
    address = parse_address(text)
    return address is not None and any(
        address in network for network in networks if network.version == address.version
    )


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
