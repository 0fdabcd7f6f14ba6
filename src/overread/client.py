"""Ask a server of overread from Python. Needs the standard library only.

from overread.client import Client

client = Client("http://127.0.0.1:8000")
print(client.predict("new.png")[0]["reason"])

What comes back are dicts with the fields of the server's /openapi.json.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from overread.errors import ConfigError, DataError, OverreadError

Status = Literal["answer", "refer", "reject"]


class AnsweredBy(TypedDict):
    """Which model answered."""

    name: str
    version: str
    sha256: str


class Answer(TypedDict):
    """The verdict on one image; `code` and `values` are its `reason` as data."""

    path: str
    filename: str
    status: Status
    predicted: str | None
    probability: float | None
    probabilities: dict[str, float]
    reason: str
    code: str
    values: dict[str, float | int | str | None]
    set: list[str]
    ood_score: float | None
    quality: dict[str, float | int | list[str]]
    model: AnsweredBy
    image_sha256: str
    case: str | None
    heatmap: str | None
    heatmap_empty: bool
    preview: str | None


class ServedModel(AnsweredBy):
    """A model of the server; `id` is what `predict(model=...)` takes."""

    id: str
    default: bool
    classes: list[str]


class Reading(TypedDict):
    """A clinician's own reading of a case, as it was stored."""

    time: str
    user: str
    reading: str
    comment: str


class LoggedCase(TypedDict):
    """One entry of the case log; `user` is a pseudonym."""

    id: str
    time: str
    model: str
    model_version: str
    model_sha256: str
    image_sha256: str
    status: Status
    predicted: str | None
    probability: float | None
    probabilities: dict[str, float]
    code: str
    quality: dict[str, Any]
    ood_score: float | None
    user: str
    feedback: list[Reading]


class LoggedCases(TypedDict):
    """A page of cases, newest first; `next` is what to give as `after`, None on the last page."""

    cases: list[LoggedCase]
    next: str | None


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
    ) -> list[Answer]:
        """A prediction for each image (a path, or the bytes of a file), in their order."""
        query = {"model": model, "heatmap": "png" if heatmap else None, "frame": frame}
        edge = secrets.token_hex(16)
        form = b"".join(_part(edge, *_file(image)) for image in images) + f"--{edge}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        answer = self._ask("/v1/predict", query, form, kind)
        return list[Answer](answer["predictions"])

    def models(self) -> list[ServedModel]:
        """The models of the server, its default first."""
        return list[ServedModel](self._ask("/v1/models")["models"])

    def model(self, name: str | None = None) -> dict[str, Any]:
        """What is known about a model: classes, results with intervals, limits, card."""
        found: dict[str, Any] = self._ask("/v1/model", {"name": name})
        return found

    def cases(
        self, *, limit: int = 50, after: str | None = None, status: Status | None = None
    ) -> LoggedCases:
        """Logged cases, newest first: `cases`, and `next` to give as `after`."""
        found: LoggedCases = self._ask(
            "/v1/cases", {"limit": limit, "after": after, "status": status}
        )
        return found

    def case(self, case: str) -> LoggedCase:
        """One logged case, with the readings added to it."""
        found: LoggedCase = self._ask(f"/v1/cases/{quote(case, safe='')}")
        return found

    def feedback(self, case: str, reading: str, comment: str = "") -> Reading:
        """Add a clinician's own reading to a case."""
        body = json.dumps({"reading": reading, "comment": comment}).encode()
        kind = {"Content-Type": "application/json"}
        found: Reading = self._ask(f"/v1/cases/{quote(case, safe='')}/feedback", {}, body, kind)
        return found

    def _ask(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        given = urlencode({name: v for name, v in (query or {}).items() if v is not None})
        url = f"{self._address}{path}" + (f"?{given}" if given else "")
        request = Request(url, body, {**self._headers, **(headers or {})})  # noqa: S310
        try:
            with urlopen(request, timeout=self._timeout) as reply:  # noqa: S310
                return json.load(reply)
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
