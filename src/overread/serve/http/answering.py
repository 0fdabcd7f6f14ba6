"""From uploads to rows of an answer: decoded in threads, run in batches, logged, drawn."""

from __future__ import annotations

import asyncio
import base64
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from overread.cores import usable_cores
from overread.documents.bundle import BundleInfo
from overread.files import sha256_bytes
from overread.images.decode import Limits
from overread.predict.heatmap import LONGEST, layer_png, shrunk
from overread.predict.prediction import Prediction
from overread.predict.predictor import Predictor, Prepared
from overread.predict.verdict import conformal_set
from overread.serve.http.batching import Batcher
from overread.serve.http.limits import Admission
from overread.serve.http.registry import Registry
from overread.serve.http.schemas import ImagePrediction, ModelName
from overread.serve.http.telemetry import Telemetry
from overread.serve.http.uploads import Upload
from overread.serve.settings import ServeSettings


@dataclass(frozen=True)
class Wanted:
    """What a caller asks for beside the verdict."""

    heatmap: bool = False
    preview: bool = False
    frame: int | None = None


@dataclass(frozen=True)
class JudgedUpload:
    """One upload with its verdict."""

    upload: Upload
    sha256: str
    prediction: Prediction


class Answering:
    """The work behind POST /v1/predict, off the event loop. `close` finishes what is queued."""

    def __init__(self, registry: Registry, settings: ServeSettings, telemetry: Telemetry) -> None:
        self.registry = registry
        self.admission = Admission(settings.queue)
        self.telemetry = telemetry
        self._limits = Limits(settings.max_bytes, settings.max_pixels)
        self._pool = ThreadPoolExecutor(usable_cores(), "overread-decode")
        self._batchers = {
            name: Batcher(
                self._judge_with(name),
                size=settings.batch or registry.get(name).batch_size,
                wait=settings.wait_ms / 1000,
                name=f"overread-run-{name}",
                workers=usable_cores(),
            )
            for name in registry.names
        }
        telemetry.watch("images_in_work", "Images in work.", lambda: self.admission.inside)

    def close(self) -> None:
        """Finish what is queued and stop the threads."""
        self._pool.shutdown()
        for batcher in self._batchers.values():
            batcher.close()

    async def judge(
        self, model: str, uploads: Sequence[Upload], wanted: Wanted
    ) -> list[JudgedUpload]:
        """The verdicts on `uploads` in their order."""
        return list(await asyncio.gather(*(self._one(model, u, wanted) for u in uploads)))

    async def rows(
        self, model: str, judged: Sequence[JudgedUpload], wanted: Wanted
    ) -> list[ImagePrediction]:
        """The verdicts as they are sent, with the pictures that were asked for."""
        info = self.registry.get(model).info
        if not (wanted.heatmap or wanted.preview):
            return [_row(one, info, wanted) for one in judged]
        loop = asyncio.get_running_loop()
        return list(
            await asyncio.gather(
                *(loop.run_in_executor(self._pool, _row, one, info, wanted) for one in judged)
            )
        )

    async def _one(self, model: str, upload: Upload, wanted: Wanted) -> JudgedUpload:
        batcher, predictor = self._batchers[model], self.registry.get(model)
        wanted = replace(wanted, heatmap=wanted.heatmap and _has_heatmap(predictor.info))
        batcher.announce(1)
        try:
            digest, prepared = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._prepare, predictor, upload, wanted
            )
        finally:
            batcher.announce(-1)
        prediction = await asyncio.wrap_future(batcher.submit((prepared, wanted.heatmap)))
        limit = predictor.info.ood.threshold if predictor.info.ood else None
        self.telemetry.judged(model, prediction, limit)
        return JudgedUpload(upload, digest, prediction.named(upload.filename))

    def _prepare(
        self, predictor: Predictor, upload: Upload, wanted: Wanted
    ) -> tuple[str, Prepared]:
        prepared = predictor.prepare(
            upload.data,
            picture=wanted.heatmap or wanted.preview,
            frame=wanted.frame,
            limits=self._limits,
        )
        if prepared.picture is not None:
            # The whole picture may be large; many wait here at once.
            prepared = replace(prepared, picture=shrunk(prepared.picture, LONGEST))
        return sha256_bytes(upload.data), prepared

    def _judge_with(self, model: str) -> Any:
        predictor = self.registry.get(model)
        sizes = self.telemetry.batches.labels(model)

        def judge(batch: list[tuple[Prepared, bool]]) -> list[Prediction]:
            sizes.observe(len(batch))
            # More in work than one batch holds: the other cores have one of their own.
            several = self.admission.inside > len(batch)
            found: dict[int, Prediction] = {}
            for heatmap in (False, True):
                rows = [row for row, item in enumerate(batch) if item[1] == heatmap]
                if rows:
                    prepared = [batch[row][0] for row in rows]
                    judged = predictor.judge(prepared, heatmap=heatmap, side_by_side=several)
                    found.update(zip(rows, judged, strict=True))
            return [found[row] for row in range(len(batch))]

        return judge


def _has_heatmap(info: BundleInfo) -> bool:
    return info.tensors.heatmap is not None and info.heatmap is not None


def _row(judged: JudgedUpload, info: BundleInfo, wanted: Wanted) -> ImagePrediction:
    found = judged.prediction
    said = found.to_dict()
    drawn = None
    if wanted.heatmap and found.heatmap is not None:
        drawn = layer_png(found, info)
    # Ours already: checked against the schema by tests, not once more for every image.
    return ImagePrediction.model_construct(
        path=said["path"] or "",
        filename=judged.upload.filename,
        status=said["status"],
        predicted=said["predicted"],
        probability=said["probability"],
        probabilities=said["probabilities"],
        reason=said["reason"],
        code=found.code,
        values={name: _finite(value) for name, value in found.values.items()},
        set=_possible(found, info),
        ood_score=said["ood_score"],
        quality=said["quality"],
        model=ModelName(**said["model"]),
        image_sha256=judged.sha256,
        case=None,
        heatmap=None if drawn is None else _data_url("image/png", drawn),
        heatmap_empty=wanted.heatmap and found.heatmap is not None and drawn is None,
        preview=_preview(found) if wanted.preview else None,
    )


def _possible(found: Prediction, info: BundleInfo) -> list[str]:
    """Classes in the conformal set, the likeliest first; none for a rejected image."""
    if found.status == "reject" or found.scores is None:
        return []
    if info.conformal is None:
        return found.predicted.split("|") if found.predicted else []
    inside = conformal_set(found.scores, info.conformal)
    return [info.classes[k] for k in sorted(inside, key=lambda k: -found.scores[k])]  # type: ignore[index]


def _finite(value: float | int | str) -> float | int | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _preview(found: Prediction) -> str | None:
    if found.picture is None:
        return None
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(found.picture).save(stream, "JPEG", quality=85)
    return _data_url("image/jpeg", stream.getvalue())


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
