"""The light install works: the built wheel alone, in a clean environment, answers with a model.

    python tests/install/light_install.py MODEL

Builds the wheel, installs it without extras, and there: asserts that torch is absent, that
importing overread loads nothing heavy, and runs phantom, audit, predict, evaluate, report, keys
and cases.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
LIMIT_MB = 350  # scipy alone is 113; without it 220 would do
HEAVY = (
    "torch", "torchvision", "timm", "lightning_fabric", "cv2", "sklearn", "matplotlib", "pandas",
)  # fmt: skip
CHECK_IMPORTS = f"""
import importlib.util, sys
present = [name for name in {HEAVY!r} if importlib.util.find_spec(name)]
assert not present, f"the light install holds {{present}}"
import overread
loaded = [n for n in ("numpy", "scipy", "PIL", "onnxruntime", "pydicom") if n in sys.modules]
assert not loaded, f"importing overread loads {{loaded}}"
assert callable(overread.load)
"""


def run(*command: object) -> str:
    """Run a command, echo it, return its standard output; a failure shows all it printed."""
    print("+", *command, flush=True)
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def install(folder: Path) -> Path:
    """Build the wheel and install it alone; returns the environment's bin folder."""
    environment = folder / "venv"
    constraints = PROJECT / "constraints.txt"
    if shutil.which("uv"):
        run("uv", "build", "--quiet", "--wheel", "--out-dir", folder / "dist", PROJECT)
        run("uv", "venv", "--quiet", "--python", sys.executable, environment)
        installer: list[object] = ["uv", "pip", "install", "--quiet", "--python"]
        installer += [environment / "bin/python"]
    else:
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder / "dist", PROJECT)
        run(sys.executable, "-m", "venv", environment)
        installer = [environment / "bin/python", "-m", "pip", "install", "--quiet"]
    (wheel,) = (folder / "dist").glob("*.whl")
    run(*installer, "--constraint", constraints, wheel)
    return environment / "bin"


def size_mb(environment: Path) -> float:
    """Disk space of the installed packages in MB, compiled caches left out."""
    files = (p for p in environment.rglob("*") if p.is_file() and not p.is_symlink())
    return sum(p.stat().st_size for p in files if p.suffix != ".pyc") / 1e6


def main() -> None:
    model = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["OVERREAD_HOME"] = str(folder / "home")
        binaries = install(folder)
        overread = binaries / "overread"
        run(binaries / "python", "-c", CHECK_IMPORTS)
        run(overread, "phantom", folder / "data", "--patients", "15", "--seed", "9")
        table = folder / "data/labels.csv"
        audit = json.loads(run(overread, "audit", table, "--out", folder / "audit", "--json"))
        assert audit["images"] > 15, audit
        lines = run(overread, "predict", model, folder / "data/images", "--json").splitlines()
        answers = [json.loads(line) for line in lines]
        assert len(answers) >= 15
        assert {a["status"] for a in answers} <= {"answer", "refer", "reject"}
        assert any(a["probabilities"] for a in answers)
        out = folder / "external"
        metrics = json.loads(run(overread, "evaluate", model, table, "--out", out, "--json"))
        assert 0 <= metrics["test"]["accuracy"]["value"] <= 1
        (out / "report.html").unlink()
        run(overread, "report", out)
        assert (out / "report.html").stat().st_size > 10_000
        key = json.loads(run(overread, "keys", "add", "ward", "--json"))["key"]
        assert key.startswith("overread_")  # the wheel holds the migrations of the case log
        assert json.loads(run(overread, "cases", "verify", "--json"))["intact"] is True
        size = size_mb(folder / "venv")
        print(f"light install: {size:.0f} MB, {len(answers)} images answered")
        assert size <= LIMIT_MB, f"{size:.0f} MB is over {LIMIT_MB} MB"


if __name__ == "__main__":
    main()
