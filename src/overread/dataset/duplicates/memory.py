"""Verdicts on disk: a pair that was compared once is not compared again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from overread.dataset.duplicates.judge import Likeness, weigh
from overread.dataset.duplicates.proof import Proof
from overread.files import atomic_path

FORMAT = "verdicts-1"  # changes with anything that changes a verdict

ROW = np.dtype(
    [
        ("id", "<u8"),  # of the two images and of how they were compared
        ("clear", "?"),  # clearly no copies: the rest is empty
        ("transform", "<f8", (2, 3)),
        ("fine", "<f8"),
        ("coarse", "<f8"),
        ("overlap", "<f8"),
        ("matches", "<i4"),
    ]
)


class Memory:
    """Verdicts of earlier runs in `folder`, and those of this one once they are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FORMAT
        self._rows: dict[int, np.void] = {}
        self._fresh: list[np.void] = []
        for path in sorted(self.folder.glob("*.npy")):
            try:
                shard = np.load(path)
            except (OSError, ValueError, EOFError):
                continue  # damaged from outside: its pairs are compared again
            if shard.dtype == ROW and shard.ndim == 1:
                self._rows.update(zip(shard["id"].tolist(), shard, strict=True))

    @staticmethod
    def id_of(*parts: object) -> int:
        """A number for a comparison, from whatever tells it from others."""
        digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    def __getitem__(self, number: int) -> Likeness | None:
        row = self._rows[number]
        if row["clear"]:
            return None
        transform = np.array(row["transform"])
        proof = Proof(transform, float(row["fine"]), float(row["coarse"]), float(row["overlap"]))
        matches = int(row["matches"])
        return Likeness(weigh(proof, matches), transform, proof, matches)

    def __setitem__(self, number: int, verdict: Likeness | None) -> None:
        shard = np.zeros(1, ROW)
        shard["id"], shard["clear"] = number, verdict is None
        if verdict is not None:
            proof = verdict.proof
            shard["transform"], shard["matches"] = verdict.transform, verdict.matches
            shard["fine"], shard["coarse"], shard["overlap"] = (
                proof.fine, proof.coarse, proof.overlap,
            )  # fmt: skip
        self._rows[number] = shard[0]
        self._fresh.append(shard[0])

    def keep(self) -> None:
        """Write what is new: whole or not at all."""
        if not self._fresh:
            return
        shard = np.array(self._fresh, ROW)
        name = f"{int(np.bitwise_xor.reduce(shard['id'])):016x}-{len(shard)}.npy"
        with atomic_path(self.folder / name) as temporary, temporary.open("wb") as stream:
            np.save(stream, shard)
        self._fresh = []
