"""Who asks: keys, the login of a trusted proxy, or this computer; and every way to pretend."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from overread.errors import ConfigError
from overread.serve.case_log.keys import Keys
from overread.serve.case_log.log import CaseLog, open_case_log
from overread.serve.http.access import LOCAL, Access, Caller
from overread.serve.settings import ServeSettings

PROXIED = ServeSettings(trusted_header="X-Remote-User", trusted_proxies=("10.0.0.0/24", "::1"))
HERE, PROXY, AWAY = "127.0.0.1", "10.0.0.7", "203.0.113.5"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CaseLog]:
    opened = open_case_log(str(tmp_path / "cases.db"))
    yield opened
    opened.close()


def soon(condition: object) -> bool:
    for _ in range(3000):
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_without_keys_or_a_header_only_this_computer_may_ask(log: CaseLog) -> None:
    access = Access(ServeSettings(), log)
    assert access.guarded is False
    for address in (HERE, "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        assert access.who({}, address) == LOCAL
    for address in (
        AWAY,
        PROXY,
        "::ffff:10.0.0.7",
        "192.0.2.1",
        "",
        "testclient",
        "127.0.0.1.evil",
    ):
        assert access.who({}, address) is None
    assert access.who({"X-Remote-User": "alice"}, AWAY) is None
    assert access.who({"Authorization": "Bearer x"}, HERE) == LOCAL
    access.close()


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_a_proxy_on_this_computer_passes_on_is_not_local(header: str) -> None:
    assert Access(ServeSettings(), None).who({header: "x"}, HERE) is None


def test_with_keys_one_is_needed_from_everywhere(log: CaseLog) -> None:
    keys = Keys(log.database)
    ward, lab = keys.add("ward"), keys.add("lab")
    access = Access(ServeSettings(), log)
    assert access.guarded is True
    caller = access.who({"Authorization": f"Bearer {ward}"}, AWAY)
    assert caller is not None
    assert caller.kind == "key"
    assert access.who({"authorization": f"bearer  {ward} "}, HERE) == caller
    assert access.who({"x-api-key": ward}, AWAY) == caller
    assert access.who(Headers({"X-API-Key": lab}), AWAY) not in (None, caller)
    for wrong in ({}, {"X-API-Key": ""}, {"X-API-Key": ward[:-1]}, {"Authorization": ward},
                  {"Authorization": f"Basic {ward}"}):  # fmt: skip
        assert access.who(wrong, AWAY) is None
        assert access.who(wrong, HERE) is None
    access.close()


def test_a_pseudonym_is_stable_and_says_nothing(log: CaseLog, tmp_path: Path) -> None:
    key = Keys(log.database).add("dr.smith")
    access, again = Access(ServeSettings(), log), Access(ServeSettings(), log)
    first = access.who({"X-API-Key": key}, AWAY)
    assert first == again.who({"X-API-Key": key}, AWAY)
    assert first is not None
    assert len(first.user) == 16
    assert "smith" not in first.user
    assert key[9:20] not in first.user
    # A key renewed keeps its pseudonym; another database gives another.
    Keys(log.database).revoke("dr.smith")
    renewed = Keys(log.database).add("dr.smith")
    assert Access(ServeSettings(), log).who({"X-API-Key": renewed}, AWAY) == first
    other = open_case_log(str(tmp_path / "other.db"))
    key = Keys(other.database).add("dr.smith")
    assert Access(ServeSettings(), other).who({"X-API-Key": key}, AWAY) != first
    other.close()
    for made in (access, again):
        made.close()


def test_a_revoked_key_stops_within_moments_and_never_opens_the_door(log: CaseLog) -> None:
    key = Keys(log.database).add("ward")
    access = Access(ServeSettings(), log, refresh=0.05)
    assert access.who({"X-API-Key": key}, AWAY) is not None
    Keys(log.database).revoke("ward")
    assert soon(lambda: access.who({"X-API-Key": key}, AWAY) is None)
    assert access.who({}, HERE) is None  # no valid key is left: still not open
    new = Keys(log.database).add("ward")
    assert soon(lambda: access.who({"X-API-Key": new}, AWAY) is not None)
    access.close()


def test_the_first_key_closes_the_door_of_a_running_server(log: CaseLog) -> None:
    access = Access(ServeSettings(), log, refresh=0.05)
    assert access.who({}, HERE) == LOCAL
    Keys(log.database).add("ward")
    assert soon(lambda: access.who({}, HERE) is None)
    access.close()


def test_keys_stay_in_force_while_the_database_is_gone(log: CaseLog, tmp_path: Path) -> None:
    key = Keys(log.database).add("ward")
    access = Access(ServeSettings(), log, refresh=0.02)
    (tmp_path / "cases.db").rename(tmp_path / "away")
    time.sleep(0.2)
    assert access.who({"X-API-Key": key}, AWAY) is not None
    (tmp_path / "away").rename(tmp_path / "cases.db")
    Keys(log.database).revoke("ward")
    assert soon(lambda: access.who({"X-API-Key": key}, AWAY) is None)
    access.close()


def test_the_login_of_a_trusted_proxy_is_believed(log: CaseLog) -> None:
    access = Access(PROXIED, log)
    assert access.guarded is True
    alice = access.who({"x-remote-user": "alice"}, PROXY)
    assert alice is not None
    assert alice.kind == "proxy"
    assert "alice" not in alice.user
    assert access.who(Headers({"X-Remote-User": "alice "}), "::ffff:10.0.0.7") == alice
    assert access.who({"X-Remote-User": "alice"}, "::1") == alice
    assert access.who({"X-Remote-User": "bob"}, PROXY) != alice
    access.close()


def test_nobody_else_is_believed(log: CaseLog) -> None:
    access = Access(PROXIED, log)
    for address in (AWAY, HERE, "10.0.1.7", "", "proxy"):
        assert access.who({"X-Remote-User": "alice"}, address) is None
    assert access.who({}, PROXY) is None
    assert access.who({}, HERE) is None
    assert access.who({"X-Remote-User": " "}, PROXY) is None
    assert access.who({"X-Remote-User": "x" * 501}, PROXY) is None
    both = Headers(raw=[(b"x-remote-user", b"mallory"), (b"x-remote-user", b"alice")])
    assert access.who(both, PROXY) is None
    access.close()


def test_a_program_behind_the_proxy_may_use_a_key(log: CaseLog) -> None:
    key = Keys(log.database).add("ward")
    access = Access(PROXIED, log)
    for address in (PROXY, AWAY):
        caller = access.who({"X-API-Key": key}, address)
        assert caller is not None
        assert caller.kind == "key"
    # A name seen through the proxy is not the key of the same name.
    proxied = access.who({"X-Remote-User": "ward"}, PROXY)
    assert isinstance(proxied, Caller)
    assert proxied.user != caller.user
    access.close()


def test_a_header_that_anybody_could_send_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="anybody could send 'X-User'"):
        Access(ServeSettings(trusted_header="X-User"), None)
    with pytest.raises(ConfigError, match="not an address or a network"):
        Access(ServeSettings(trusted_header="X-User", trusted_proxies=("proxy",)), None)


def test_without_a_database_pseudonyms_last_as_long_as_the_server() -> None:
    one, two = Access(PROXIED, None), Access(PROXIED, None)
    alice = one.who({"X-Remote-User": "alice"}, PROXY)
    assert alice == one.who({"X-Remote-User": "alice"}, PROXY)
    assert alice != two.who({"X-Remote-User": "alice"}, PROXY)
