"""Ask a server of overread from Python. Needs the standard library only.

from overread.client import Client

client = Client("http://127.0.0.1:8000")
print(client.predict("new.png")[0]["reason"])
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from overread.errors import ConfigError, DataError, OverreadError


class ServerRefused(OverreadError):
    """A server's refusal: `status` is the HTTP status, `retry_after` seconds to wait or None."""

    def __init__(self, problem: str, status: int, *, retry_after: float | None, hint: str) -> None:
        super().__init__(problem, where=f"the server ({status})", hint=hint)
        self.status = status
        self.retry_after = retry_after


class Client:
    """One server at `address`; `key` is sent where the server asks for one.

    Each method raises ServerRefused for a refusal, with the server's own words, and DataError when
    the server cannot be reached.
    """

    def __init__(self, address: str, *, key: str | None = None, timeout: float = 60.0) -> None:
        if not address.startswith(("http://", "https://")):
            raise ConfigError(
                f"'{address}' is not the address of a server", hint="Write http://HOST:PORT."
            )
        self._address = address.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._timeout = timeout

    def predict(
        self,
        *images: Path | str | bytes,
        model: str | None = None,
        heatmap: bool = False,
        frame: int | None = None,
    ) -> list[dict[str, Any]]:
        """A prediction for each image (a path, or the bytes of a file), in their order."""
        query = {"model": model, "heatmap": "png" if heatmap else None, "frame": frame}
        edge = secrets.token_hex(16)
        form = b"".join(_part(edge, *_file(image)) for image in images) + f"--{edge}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        answer = self._ask("/v1/predict", query, form, kind)
        return list(answer["predictions"])

    def models(self) -> list[dict[str, Any]]:
        """The models of the server, its default first."""
        return list(self._ask("/v1/models")["models"])

    def model(self, name: str | None = None) -> dict[str, Any]:
        """What is known about a model: classes, results with intervals, limits, card."""
        return self._ask("/v1/model", {"name": name})

    def cases(
        self, *, limit: int = 50, after: str | None = None, status: str | None = None
    ) -> dict[str, Any]:
        """Logged cases, newest first: `cases`, and `next` to give as `after`."""
        return self._ask("/v1/cases", {"limit": limit, "after": after, "status": status})

    def case(self, case: str) -> dict[str, Any]:
        """One logged case, with the readings added to it."""
        return self._ask(f"/v1/cases/{quote(case, safe='')}")

    def feedback(self, case: str, reading: str, comment: str = "") -> dict[str, Any]:
        """Add a clinician's own reading to a case."""
        body = json.dumps({"reading": reading, "comment": comment}).encode()
        kind = {"Content-Type": "application/json"}
        return self._ask(f"/v1/cases/{quote(case, safe='')}/feedback", {}, body, kind)

    def _ask(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        given = urlencode({name: v for name, v in (query or {}).items() if v is not None})
        url = f"{self._address}{path}" + (f"?{given}" if given else "")
        request = Request(url, body, {**self._headers, **(headers or {})})  # noqa: S310
        try:
            with urlopen(request, timeout=self._timeout) as reply:  # noqa: S310
                document: dict[str, Any] = json.load(reply)
                return document
        except HTTPError as error:
            raise _refusal(error) from None
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise DataError(
                f"gave no answer ({reason})", where=self._address, hint="Check that it runs there."
            ) from error


def _file(image: Path | str | bytes) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return "image", image
    try:
        return Path(image).name, Path(image).read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=image) from error


def _part(edge: str, name: str, data: bytes) -> bytes:
    shown = "".join("_" if c in '"\\' or not c.isprintable() else c for c in name)
    head = f'--{edge}\r\nContent-Disposition: form-data; name="images"; filename="{shown}"\r\n\r\n'
    return head.encode("utf-8", "replace") + data + b"\r\n"


def _refusal(error: HTTPError) -> ServerRefused:
    with error:
        try:
            said = json.load(error)
        except ValueError:
            said = {}
    told = error.headers.get("Retry-After")
    return ServerRefused(
        str(said.get("detail", error.reason)),
        error.code,
        retry_after=float(told) if told else None,
        hint=str(said.get("hint", "")),
    )
