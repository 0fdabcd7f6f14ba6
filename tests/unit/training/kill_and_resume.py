"""Run by test_resume.py in a process of its own: train, kill, resume, and say what came out.

Children are forked, so that torch is imported once. Prints one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import overread.training.fit as fitting
from overread.documents.manifest import read_manifest
from overread.files import read_csv
from overread.training.checkpoint import load_checkpoint
from overread.training.plan import Plan, read_plan


def child(run: Path, plan: Plan, data: Path, die: str = "") -> int:
    """Fork a training of `plan`, give its process id; `die` says where it kills itself."""
    pid = os.fork()
    if pid:
        return pid
    fitting.SAVE_EVERY_S = 0.0  # a checkpoint after every step
    if die:
        suicide(die)
    try:
        fitting.fit(plan, read_manifest(data), run, resume=True, show=False)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(3)
    os._exit(0)


def suicide(where: str) -> None:
    """Kill this process at its n-th checkpoint, "half" written or "after" it stands."""
    moment, number = where.split(":")
    real, calls = fitting.save_checkpoint, [0]

    def save(path: Path, content: dict[str, object]) -> None:
        calls[0] += 1
        if calls[0] < int(number):
            return real(path, content)
        if moment == "after":
            real(path, content)
        else:
            torch_save = torch.save

            def half(content: object, target: Path) -> None:
                torch_save(content, target)
                os.truncate(target, target.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

            torch.save = half  # type: ignore[assignment]
            real(path, content)
        os.kill(os.getpid(), signal.SIGKILL)

    fitting.save_checkpoint = save  # type: ignore[assignment]


def outcome(run: Path) -> dict[str, object]:
    """What must not depend on how often the run was killed."""
    best = load_checkpoint(run / "checkpoints" / "best.ckpt")["model"]
    last = load_checkpoint(run / "checkpoints" / "last.ckpt")
    _, rows = read_csv(run / "training.csv")
    for row in rows:
        del row["images_per_s"], row["seconds"]
    return {
        "best": digest(best),
        "last": digest(last["learner"]["model"]),
        "rows": rows,
        "left": sorted(p.name for p in (run / "checkpoints").iterdir() if p.name[0] != "."),
    }


def digest(state: dict[str, torch.Tensor]) -> str:
    found = hashlib.sha256()
    for name, tensor in state.items():
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def main(data: Path, folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    plan = read_plan(data)
    import lightning_fabric  # noqa: F401 - once, before forking

    started = time.monotonic()
    assert os.waitpid(child(folder / "whole", plan, data), 0)[1] == 0
    length = time.monotonic() - started
    chance = random.Random(seed)  # noqa: S311 - no secret
    died = 0
    plans = ["half:1", "after:1", "half:3", "after:4", *[""] * kills]
    for die in plans:
        pid = child(folder / "killed", plan, data, die)
        if not die:
            time.sleep(chance.uniform(0.02, 0.6 * length))
            os.kill(pid, signal.SIGKILL)
        died += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert os.waitpid(child(folder / "killed", plan, data), 0)[1] == 0
    results = {name: outcome(folder / name) for name in ("whole", "killed")}
    sys.stdout.write(json.dumps({"died": died, **results}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
