"""What CI's time cannot hold: the oldest and the newest dependencies, and coverage of all tests.

    python scripts/long_run.py [STEP...]        every step, or those named

Each step's outcome goes into .ci/long-run.json with its commit. Environments are kept in .venv-long
and brought up to date. uv resolves them; it is installed there from the registry that pip uses.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / ".ci" / "long-run.json"
PLACE = ROOT / ".venv-long"
EXTRAS = "train,dicom,postgres,openvino,parquet"
# What the tests need beside the program. At its oldest it would prove nothing about the program.
TESTERS = ["pytest", "pytest-xdist", "hypothesis", "httpx"]
# An old library warns of its own age, a new one of what we still have to change.
LENIENT = ["-W", "default"]


def oldest() -> None:
    """The lower bounds in pyproject.toml: they install, all imports, the quick tests pass."""
    lowest = PLACE / "oldest.txt"
    extras = [word for extra in EXTRAS.split(",") for word in ("--extra", extra)]
    _uv(
        "pip", "compile", "--quiet", "pyproject.toml", *extras, "--resolution", "lowest-direct",
        "--python-version", "3.11", "--no-header", "--no-annotate", "--output-file", str(lowest),
    )  # fmt: skip
    python = _environment("oldest", f".[{EXTRAS}]", *TESTERS, "--constraint", str(lowest))
    _run(str(python), "-W", "ignore", str(ROOT / "scripts" / "import_everything.py"))
    _quick_tests(python)


def newest() -> None:
    """What an installer fetches today, without constraints.txt; the same is asked of it."""
    python = _environment("newest", f".[{EXTRAS}]", *TESTERS, "--upgrade")
    _run(str(python), "-W", "ignore", str(ROOT / "scripts" / "import_everything.py"))
    _quick_tests(python)


def coverage() -> None:
    """Every test, with branches counted, also in processes that tests start; see pyproject.toml."""
    here = [sys.executable, "-m"]
    _run(*here, "coverage", "erase")
    _run(
        *here, "pytest", "-q", "--cov", "--cov-report=", "-n", str(_cores()), "--dist", "loadfile",
    )  # fmt: skip
    _run(*here, "coverage", "report", "--skip-covered", "--sort=cover")


STEPS: dict[str, Callable[[], None]] = {"oldest": oldest, "newest": newest, "coverage": coverage}


def _quick_tests(python: Path) -> None:
    quick = subprocess.run(
        ["make", "--silent", "print-quick"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    _run(
        str(python), "-m", "pytest", "-q", "-n", str(_cores()), "--dist", "loadfile",
        "-p", "no:cacheprovider", *LENIENT, *shlex.split(quick.stdout),
    )  # fmt: skip


def _environment(name: str, *wanted: str) -> Path:
    folder = PLACE / name
    python = folder / "bin" / "python"
    _uv("venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--python", str(python), "--editable", *wanted)
    return python


def _uv(*words: str) -> None:
    uv = shutil.which("uv") or str(PLACE / "tools" / "bin" / "uv")
    if not Path(uv).is_file():
        _run(sys.executable, "-m", "venv", str(PLACE / "tools"))
        _run(str(PLACE / "tools" / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv")
    _run(uv, *words)


def _cores() -> int:
    from overread.cores import usable_cores

    return usable_cores()


def _run(*command: str) -> None:
    print("$", " ".join(command), flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return git("rev-parse", "HEAD") + ("" if not git("status", "--porcelain", "-uno") else "+")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        sys.stderr.write(f"no step is called {unknown[0]}; there are {', '.join(STEPS)}\n")
        return 2
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}
    failed = []
    for name in names or STEPS:
        commit, started = _commit(), time.monotonic()
        try:
            STEPS[name]()
            outcome = "passed"
        except subprocess.CalledProcessError as error:
            outcome = f"failed: {Path(error.cmd[0]).name} {' '.join(map(str, error.cmd[1:3]))}"
            failed.append(name)
        record[name] = {
            "commit": commit,
            "date": datetime.now(UTC).date().isoformat(),
            "minutes": round((time.monotonic() - started) / 60, 1),
            "outcome": outcome,
        }
        RECORD.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
        print(f"{name}: {outcome}", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
