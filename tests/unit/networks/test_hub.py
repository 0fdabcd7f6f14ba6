from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from overread.errors import ConfigError
from overread.networks.classifier import build_classifier
from overread.networks.hub import _reachable, endpoint, fetch
from overread.recipe.load import load_recipe

pytestmark = pytest.mark.torch

CONTENT = b"the weights of the mirror"
COMMIT = "0" * 40


class Mirror(BaseHTTPRequestHandler):
    """As much of a hub as a download needs: one file, its size, tag and commit."""

    def do_HEAD(self) -> None:
        known = "timm/resnet18." in self.path and self.path.endswith("/model.safetensors")
        self.send_response(200 if known or self.path == "/" else 404)
        if known:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", '"abc"')
            self.send_header("Content-Length", str(len(CONTENT)))
        elif self.path != "/":
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path.endswith("/model.safetensors"):
            self.wfile.write(CONTENT)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no settings of the person who runs the tests."""
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    _reachable.cache_clear()
    return tmp_path / "hub"


@pytest.fixture
def mirror(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    yield address
    server.shutdown()
    server.server_close()
    thread.join()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_users_mirror_is_asked_and_its_file_is_kept(
    mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoint() == mirror
    assert fetch("resnet18").read_bytes() == CONTENT
    # The second time nothing is asked, so it works with the network gone.
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    assert fetch("resnet18").read_bytes() == CONTENT


def test_a_mirror_without_the_file_is_a_refusal(mirror: str) -> None:
    with pytest.raises(ConfigError, match="efficientnet_b0 cannot be had"):
        fetch("efficientnet_b0")


@pytest.mark.parametrize("recipe", ["auto", "covid-efficientnet", "breast-vgg16"])
def test_without_network_and_weights_the_way_out_is_named_at_once(
    recipe: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        build_classifier(load_recipe(recipe), 3)
    assert time.monotonic() - started < 60
    for words in ("--weights FILE", "--from-scratch", address):
        assert words in str(caught.value)


def test_a_host_that_swallows_everything_costs_seconds_not_minutes(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:  # accepts the connection, never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ConfigError, match="does not answer"):
            build_classifier(load_recipe("auto"), 2)
        assert time.monotonic() - started < 60


def test_offline_is_believed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE"):
        fetch("resnet18")


@pytest.mark.parametrize("address", ["file:///etc", "mirror.example"])
def test_an_endpoint_that_is_no_http_address_is_refused(
    address: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ConfigError, match="not an http address"):
        fetch("resnet18")


def test_a_network_that_timm_publishes_no_weights_for(cache: Path) -> None:
    with pytest.raises(ConfigError, match="timm publishes none"):
        fetch("mobilenetv2_075")
