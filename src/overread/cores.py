"""How many cores this process may really use: its affinity and its container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Cores that this process may use, at least 1.

    The smaller of the scheduler's affinity mask and the CPU quota of its control group, version 2
    (`cpu.max`) or 1 (`cpu.cfs_quota_us`). More threads than that only wait for each other.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [quota for folder in _groups(root, own) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def _groups(root: Path, own: Path) -> list[Path]:
    """Folders of this process's control groups and of all their parents."""
    folders = [root, root / "cpu", root / "cpu,cpuacct"]
    for line in _lines(own):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        at = root / controllers if controllers else root
        for part in Path(path.lstrip("/")).parts:
            at = at / part
            folders.append(at)
    return folders


def _quota(folder: Path) -> float | None:
    """CPUs that `folder` allows; None when it sets no limit."""
    fields = " ".join(_lines(folder / "cpu.max")).split()
    if not fields:
        fields = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    try:
        quota, period = (float(field) for field in fields)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split("\n")[:-1] or []
    except (OSError, UnicodeDecodeError):
        return []
