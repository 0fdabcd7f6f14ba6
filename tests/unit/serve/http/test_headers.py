"""Which headers are believed, and what a page of another site cannot make a browser do."""

from __future__ import annotations

import pytest

from overread.errors import ConfigError
from overread.serve.http.headers import (
    check_host,
    check_same_site,
    host_name,
    origin_of,
    parse_networks,
)
from overread.serve.http.problems import Problem

PROXY = parse_networks(["10.0.0.0/8", "::1"])
TOLD = {
    "host": "inside:8000",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "scans.example.org",
}


def test_a_trusted_proxy_tells_where_a_request_comes_from() -> None:
    origin = origin_of(TOLD, "10.1.2.3", "http", PROXY)
    assert (origin.client, origin.scheme, origin.host) == (
        "203.0.113.9",
        "https",
        "scans.example.org",
    )


@pytest.mark.parametrize("peer", ["203.0.113.1", "", "nonsense", "11.0.0.1", "::2"])
def test_nobody_else_does(peer: str) -> None:
    origin = origin_of(TOLD, peer, "http", PROXY)
    assert (origin.client, origin.scheme, origin.host) == (peer, "http", "inside:8000")


def test_what_the_client_itself_wrote_before_the_proxy_is_not_believed() -> None:
    told = {**TOLD, "x-forwarded-for": "127.0.0.1, 198.51.100.4, 10.9.9.9"}
    assert origin_of(told, "10.0.0.1", "http", PROXY).client == "198.51.100.4"


def test_a_proxy_that_says_nothing_changes_nothing() -> None:
    origin = origin_of({"host": "a"}, "10.0.0.1", "http", PROXY)
    assert (origin.client, origin.scheme, origin.host) == ("10.0.0.1", "http", "a")
    odd = origin_of({**TOLD, "x-forwarded-proto": "gopher"}, "10.0.0.1", "http", PROXY)
    assert odd.scheme == "http"


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.0/99", "proxy.example.org"])
def test_what_is_no_network_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--trusted-proxy.*10\.0\.0\.0/8"):
        parse_networks([text])


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8000", "localhost"),
        ("LocalHost", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("[2001:DB8::1]:8000", "2001:db8::1"),
        ("scans.example.org:443", "scans.example.org"),
        ("", ""),
        ("localhost:8000:9000", "localhost"),
        ("[::1", "::1"),
        ("@localhost", "@localhost"),
        ("localhost.", "localhost."),
        (" localhost", " localhost"),
        ("localhost/..", "localhost/.."),
    ],
)
def test_the_name_in_a_host_header_is_read_as_it_is_and_not_repaired(host: str, name: str) -> None:
    assert host_name(host) == name


def test_a_foreign_name_for_this_computer_is_refused() -> None:
    local = ("localhost", "127.0.0.1", "::1")
    check_host("localhost:8000", local)
    check_host("anything", ())
    for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io"):
        with pytest.raises(Problem) as refused:
            check_host(host, local)
        assert refused.value.status_code == 421


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),  # curl, a program
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://other"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "nonsense"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:8000"}, False),
        ({"origin": "http://localhost:8000"}, True),
        ({"origin": "https://LOCALHOST:8000"}, True),
        ({"origin": "http://localhost:8001"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
    ],
)
def test_only_its_own_page_and_programs_may_send(headers: dict[str, str], allowed: bool) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        check_same_site(method, headers, "localhost:8000")
    for method in ("POST", "PUT", "DELETE", "ANYTHING"):
        if allowed:
            check_same_site(method, headers, "localhost:8000")
            continue
        with pytest.raises(Problem) as refused:
            check_same_site(method, headers, "localhost:8000")
        assert refused.value.status_code == 403
