"""What every test shares: the real images, a fixed seed, and no trace left behind."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from postgres_server import Server, newest, running

PROJECT = Path(__file__).resolve().parent.parent
REALDATA = Path(os.environ.get("OVERREAD_REALDATA", PROJECT.parent / "shared" / "data"))
# Threads that libraries start once and keep for the life of the process.
KEPT_THREADS = ("pin_memory", "asyncio_", "AnyIO", "ThreadPoolExecutor", "pydevd", "Tqdm", "tqdm")


# How long one example takes says how busy the machine is, not whether the code is right; and an
# example drawn by chance must not stop a change that has nothing to do with it. To look for new
# ones: `--hypothesis-profile=explore`.
settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("overread", settings.get_profile("explore"), derandomize=True)
settings.load_profile("overread")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first, so that no worker waits for the last of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real images; the test is skipped, with the reason, where it is missing."""
    if not (REALDATA / "truth.csv").is_file():
        pytest.skip(f"no real images at {REALDATA} (set OVERREAD_REALDATA)")
    return REALDATA


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of this session's own; skipped, with the reason, where none is there."""
    programs = newest()
    if programs is None:
        pytest.skip("no PostgreSQL installed (Debian: `make system`)")
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL: overread[postgres]")
    with running(programs) as server:
        yield server


@pytest.fixture
def fewer_odd_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export is compared on 100 pictures, not 1,000: for tests of what lies around that."""
    parity = pytest.importorskip("overread.export.parity", reason="compares with torch")
    monkeypatch.setattr(parity.odd_images, "__defaults__", (100, 0))


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a small `overread demo` leaves, made once for all workers: to be read, or copied."""
    pytest.importorskip("torch")
    fcntl = pytest.importorskip("fcntl", reason="needs a lock that Windows does not have")
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    run, made = base / "demo-run", base / "demo-run.made"
    command = [sys.executable, "-m", "overread", "demo", "--out", str(run)]
    command += ["--patients", "40", "--no-page"]
    with (base / "demo-run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            home = {**os.environ, "OVERREAD_HOME": str(base / "demo-home")}
            done = subprocess.run(command, capture_output=True, text=True, env=home)
            assert done.returncode == 0, done.stderr
            made.touch()
    return run


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of folders that do not exist yet. (`mktemp` would look through thousands each time.)"""
    base = tmp_path_factory.mktemp("homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def overread_home(homes: Iterator[Path]) -> Iterator[None]:
    """Counters kept per user (looks at a test set) go to a scratch folder, not to the home."""
    home = next(homes)
    home.mkdir()
    # Not the fixture `monkeypatch`: it would then be undone after `no_trace` has looked.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERREAD_HOME", str(home))
        yield


@pytest.fixture(autouse=True)
def no_trace(overread_home: None) -> Iterator[None]:
    """Fail a test that leaves an environment variable, a folder change or a thread behind."""
    before = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    folder = Path.cwd()
    threads = set(threading.enumerate())
    yield
    after = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    # Set by torch, Lightning or OpenCV when they are first imported.
    changed = {
        n
        for n in changed
        if not n.startswith(("TORCH", "PYTORCH_", "KMP_", "OPENCV", "QT_", "LD_", "PL_"))
    }
    assert not changed, f"left environment variables changed: {sorted(changed)}"
    assert Path.cwd() == folder, f"left the working folder at {Path.cwd()}"
    left = [
        t.name
        for t in set(threading.enumerate()) - threads
        if t.is_alive() and not t.daemon and not t.name.startswith(KEPT_THREADS)
    ]
    assert not left, f"left threads running: {left}"
