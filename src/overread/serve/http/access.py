"""Who asks: by API key, by the login of a trusted proxy, or from this computer alone."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from overread.errors import CaseLogError, ConfigError
from overread.serve.case_log.keys import Key, Keys, owner
from overread.serve.case_log.log import CaseLog
from overread.serve.http.headers import all_values, is_inside, is_loopback, parse_networks
from overread.serve.settings import ServeSettings

logger = logging.getLogger("overread.serve")

REFRESH_S = 2.0  # a revoked key is refused after this long
MOST_USER = 500
# A proxy on this computer makes everybody look local.
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclass(frozen=True)
class Caller:
    """Who asks. `user` is a pseudonym: the same for the same person in this database, and no way
    back to the name without its salt."""

    user: str
    kind: Literal["key", "proxy", "local"]


LOCAL = Caller("local", "local")


class Access:
    """Decides who a request is from.

    With a trusted header, its user is believed when the request comes from a trusted proxy, and
    from nobody else. With keys (also if all are revoked by now), a valid one is needed. With
    neither, only this computer may ask. Raises ConfigError for a trusted header without proxies.

    `who` never waits for the database: keys are read again every `refresh` seconds in a thread of
    its own, until `close`. While the database cannot be reached, the keys last read stay in force.
    """

    def __init__(
        self, settings: ServeSettings, log: CaseLog | None, *, refresh: float = REFRESH_S
    ) -> None:
        self._header = (settings.trusted_header or "").strip().lower()
        self._proxies = parse_networks(settings.trusted_proxies)
        if self._header and not self._proxies:
            raise ConfigError(
                f"anybody could send '{settings.trusted_header}'",
                where="--trusted-header",
                hint="Name the proxy that sets it: --trusted-proxy ADDRESS.",
            )
        self._keys: tuple[Key, ...] = ()
        self._salt = secrets.token_bytes(32)
        self._stop = threading.Event()
        if log is not None:
            store = Keys(log.database)
            self._keys, self._salt = store.list(), store.salt()
            threading.Thread(
                target=self._refresh, args=(store, refresh), name="overread-keys", daemon=True
            ).start()

    @property
    def guarded(self) -> bool:
        """Whether callers must say who they are, so that others than this computer may ask."""
        return bool(self._header or self._keys)

    def who(self, headers: Mapping[str, str], client_host: str) -> Caller | None:
        """The caller of a request from the address `client_host` of the peer; None: refuse it."""
        if self._header and is_inside(client_host, self._proxies):
            users = all_values(headers, self._header)
            if users:
                return self._proxy_user(users)
        given = _given_key(headers)
        if given is not None and self._keys:
            name = owner(self._keys, given)
            return None if name is None else Caller(self._pseudonym("key", name), "key")
        if self.guarded or any(all_values(headers, name) for name in FORWARDED):
            return None
        return LOCAL if is_loopback(client_host) else None

    def close(self) -> None:
        """End the thread that reads the keys."""
        self._stop.set()

    def _proxy_user(self, users: list[str]) -> Caller | None:
        # Two of them: the client sent one and the proxy added its own instead of replacing it.
        if len(users) != 1 or not 0 < len(users[0].strip()) <= MOST_USER:
            return None
        return Caller(self._pseudonym("proxy", users[0].strip()), "proxy")

    def _pseudonym(self, kind: str, name: str) -> str:
        text = f"{kind}:{name}".encode("utf-8", "replace")
        return hmac.new(self._salt, text, hashlib.sha256).hexdigest()[:16]

    def _refresh(self, store: Keys, every: float) -> None:
        failing = False
        while not self._stop.wait(every):
            try:
                self._keys, failing = store.list(), False
            except CaseLogError as error:
                if not failing:
                    logger.warning("keys cannot be read, those known stay in force: %s", error)
                failing = True


def _given_key(headers: Mapping[str, str]) -> str | None:
    for text in all_values(headers, "authorization"):
        scheme, _, key = text.strip().partition(" ")
        if scheme.lower() == "bearer":
            return key.strip()
    own = all_values(headers, "x-api-key")
    return own[0].strip() if own else None
