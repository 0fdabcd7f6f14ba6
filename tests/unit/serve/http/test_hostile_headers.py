"""Where a request says it comes from, in every form that proxies write it and clients forge it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from overread.errors import ConfigError
from overread.serve.http.access import Access
from overread.serve.http.guard import Guard, _allowed_hosts
from overread.serve.http.headers import Origin, check_host, origin_of, parse_networks
from overread.serve.http.limits import neighbourhood
from overread.serve.http.problems import Problem
from overread.serve.http.telemetry import Telemetry
from overread.serve.run import check_bind
from overread.serve.settings import ServeSettings

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:aaaa::/48"])
PROXY, CLIENT = "10.0.0.1", "203.0.113.9"


def sent(*lines: tuple[str, str]) -> Headers:
    """Header lines as they came, repeats and all."""
    return Headers(raw=[(name.lower().encode(), value.encode()) for name, value in lines])


def origin(*lines: tuple[str, str], peer: str = PROXY) -> Origin:
    return origin_of(sent(("Host", "inside"), *lines), peer, "http", PROXIES)


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        # One proxy, one header: what the client wrote stands first.
        (["6.6.6.6, " + CLIENT], CLIENT),
        # A proxy that adds a line of its own leaves the client's above it (HAProxy).
        (["6.6.6.6", CLIENT], CLIENT),
        (["6.6.6.6, 7.7.7.7", CLIENT, "10.9.9.9"], CLIENT),
        ([CLIENT, "10.2.2.2, 10.3.3.3"], CLIENT),
        # Empty places are no hop.
        ([CLIENT + ", ,"], CLIENT),
        ([" ", CLIENT], CLIENT),
        # All of them are trusted: the request began at the outermost.
        (["10.1.1.1, 10.2.2.2"], PROXY),
        ([""], PROXY),
        # IPv6, as it is and as IPv4 seen by a socket for both.
        (["2001:db8:bbbb::1, 2001:db8:aaaa::5"], "2001:db8:bbbb::1"),
        ([CLIENT + ", ::ffff:10.4.4.4"], CLIENT),
        # With a port, which some balancers add: the same client on every connection.
        ([CLIENT + ":52011"], CLIENT),
        (["[2001:db8:bbbb::1]:52011"], "2001:db8:bbbb::1"),
        ([CLIENT + ", 10.4.4.4:99"], CLIENT),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_proxy_of_ours(lines: list[str], client: str) -> None:
    assert origin(*(("X-Forwarded-For", line) for line in lines)).client == client


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.1", "::ffff:a00:1", "2001:db8:aaaa::77"])
def test_a_trusted_proxy_is_known_on_a_socket_for_both_kinds_of_address(peer: str) -> None:
    """A server that listens at `::` sees 10.0.0.1 as ::ffff:10.0.0.1."""
    told = [
        ("X-Forwarded-For", CLIENT),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "scans.example.org"),
    ]
    assert origin(*told, peer=peer) == Origin(CLIENT, "https", "scans.example.org", True)


def test_login_and_address_trust_the_same_proxies() -> None:
    """Whoever may name the user may also name the address, and nobody else may do either."""
    networks = ("10.0.0.0/8", "::1")
    settings = ServeSettings(trusted_header="X-User", trusted_proxies=networks)
    access, parsed = Access(settings, None), parse_networks(networks)
    headers = sent(("X-User", "alice"), ("X-Forwarded-For", CLIENT))
    for peer, trusted in {
        "10.0.0.1": True,
        "::ffff:10.0.0.1": True,
        "::1": True,
        "11.0.0.1": False,
        "::ffff:11.0.0.1": False,
        "::2": False,
        "127.0.0.1": False,
        "10.0.0.1.evil": False,
        "": False,
    }.items():
        assert (access.who(headers, peer) is not None) is trusted, peer
        assert origin_of(headers, peer, "http", parsed).proxied is trusted, peer


@pytest.mark.parametrize("told", ["HTTPS", " https ", "https"])
def test_the_scheme_is_believed_in_any_letters(told: str) -> None:
    assert origin(("X-Forwarded-Proto", told)).scheme == "https"


@pytest.mark.parametrize("told", ["", "javascript", "https; http", "wss"])
def test_a_scheme_that_is_none_leaves_the_real_one(told: str) -> None:
    assert origin(("X-Forwarded-Proto", told)).scheme == "http"


def test_callers_over_ipv4_are_told_apart_on_a_socket_for_both() -> None:
    """Were they one neighbourhood, one caller's requests would use up everybody's."""
    mapped = {neighbourhood(f"::ffff:192.0.2.{n}") for n in range(1, 6)}
    assert mapped == {f"192.0.2.{n}" for n in range(1, 6)}
    assert neighbourhood("::ffff:c000:201") == neighbourhood("192.0.2.1")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("198.51.100.4", "198.51.100.4"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_neighbourhoods(address: str, network: str) -> None:
    assert neighbourhood(address) == network


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2", "127.255.0.9"])
def test_wherever_no_key_is_needed_a_foreign_name_is_refused(host: str) -> None:
    """A page of another site may point its own name at any loopback address (DNS rebinding): where
    nobody needs a key, the name in Host is what keeps it out."""
    settings = ServeSettings(host=host)
    check_bind(settings, guarded=False)
    allowed = _allowed_hosts(settings)
    for foreign in ("evil.example", f"{host}.evil.example", ""):
        with pytest.raises(Problem) as refused:
            check_host(foreign, allowed)
        assert refused.value.status_code == 421
    own = f"[{host}]:8000" if ":" in host else f"{host}:8000"
    check_host(own, allowed)
    check_host("LOCALHOST", allowed)


def test_names_given_are_taken_in_any_letters_and_no_others() -> None:
    allowed = _allowed_hosts(ServeSettings(host="0.0.0.0", hosts=("Scans.Example.ORG",)))  # noqa: S104
    for name in ("scans.example.org", "SCANS.example.org:8443", "localhost", "[::1]:1"):
        check_host(name, allowed)
    for name in ("example.org", "x.scans.example.org", "scans.example.org.evil", "10.0.0.7"):
        with pytest.raises(Problem):
            check_host(name, allowed)


def test_without_names_an_address_that_others_reach_takes_any() -> None:
    check_host("anything", _allowed_hosts(ServeSettings(host="0.0.0.0")))  # noqa: S104


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.7", "LAN", "127.0.0.1.nip.io"])  # noqa: S104
def test_an_open_address_needs_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="no key and no login") as refused:
        check_bind(ServeSettings(host=host), guarded=False)
    assert "overread keys add" in refused.value.hint
    check_bind(ServeSettings(host=host), guarded=True)


@pytest.mark.parametrize(
    "header",
    ["authorization: bearer  ", "authorization: Bearer", "authorization: token x", "x-api-key:  "],
)
def test_an_empty_or_other_credential_is_no_key(header: str, tmp_path: Path) -> None:
    from overread.serve.case_log.keys import Keys
    from overread.serve.case_log.log import open_case_log

    log = open_case_log(str(tmp_path / "cases.db"))
    Keys(log.database).add("ward")
    access = Access(ServeSettings(), log, refresh=60)
    name, _, value = header.partition(":")
    for peer in ("127.0.0.1", "203.0.113.5"):
        assert access.who(sent((name, value)), peer) is None
    access.close()
    log.close()


def test_a_key_may_follow_another_scheme_of_the_same_header(tmp_path: Path) -> None:
    """A proxy with a password of its own passes Basic on beside the program's key."""
    from overread.serve.case_log.keys import Keys
    from overread.serve.case_log.log import open_case_log

    log = open_case_log(str(tmp_path / "cases.db"))
    key = Keys(log.database).add("ward")
    access = Access(ServeSettings(), log, refresh=60)
    found = access.who(
        sent(("Authorization", "Basic eDp5"), ("Authorization", f"BEARER {key}")), "203.0.113.5"
    )
    assert found is not None and found.kind == "key"
    basic = access.who(sent(("Authorization", "Basic eDp5"), ("X-API-Key", key)), "203.0.113.5")
    assert basic == found
    # The first key that is given counts: a wrong one is not tried again with the next.
    wrong = sent(("Authorization", "Bearer overread_wrong"), ("X-API-Key", key))
    assert access.who(wrong, "203.0.113.5") is None
    access.close()
    log.close()


def capped(content_type: str) -> int:
    settings = ServeSettings(max_bytes=10 * 2**20)
    guard: Any = Guard(None, settings, Access(settings, None), Telemetry())  # type: ignore[arg-type]
    return int(guard._cap(sent(("Content-Type", content_type))))


def test_the_room_for_images_is_given_to_every_spelling_of_the_form() -> None:
    for spelling in ("multipart/form-data", "Multipart/Form-Data", "MULTIPART/FORM-DATA"):
        assert capped(f"{spelling}; boundary=x") == 10 * 2**20, spelling
    for other in ("application/json", "", "text/multipart/form-data"):
        assert capped(other) == 256 * 2**10, other


def test_head_is_answered_as_get_and_the_server_still_sees_head() -> None:
    """uvicorn leaves the body out by looking at the scope that it made itself."""
    import asyncio

    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["method"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def nothing(*_: Any) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    settings, telemetry = ServeSettings(), Telemetry()
    guard = Guard(app, settings, Access(settings, None), telemetry)
    scope = {
        "type": "http", "method": "HEAD", "path": "/healthz", "scheme": "http",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1),
    }  # fmt: skip
    asyncio.run(guard(scope, nothing, nothing))
    assert seen == ["GET"]
    assert scope["method"] == "HEAD"
    assert b'{method="HEAD",route="other",status="200"} 1.0' in telemetry.page()
