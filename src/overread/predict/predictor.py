"""From a picture to a verdict: decode, resize, run the graph, judge. No PyTorch, no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.bundle.read import Bundle, read_bundle
from overread.documents.bundle import BundleInfo
from overread.errors import BundleError, ConfigError, ImageRefused, did_you_mean
from overread.images.decode import Limits
from overread.images.preprocess import load_preprocessed, preprocess
from overread.images.quality import Quality, measure
from overread.predict.engine import MANY_IMAGES, Choice, Engine, fastest, installed
from overread.predict.ood import Gate
from overread.predict.prediction import Prediction
from overread.predict.quality import Fault, faults
from overread.predict.selftest import self_test
from overread.predict.session import Session
from overread.predict.verdict import Verdict, decide, decide_ood, reject
from overread.threads import thread_map

Source = Path | str | bytes | NDArray[np.uint8]
Outputs = dict[str, NDArray[np.float32]]

# What a batch computes should stay in the processor's cache. Wide dense layers do not fit in there,
# and smaller batches read them more often; weights up to SMALL bytes are cheap to read again.
BATCH, SMALL_BATCH, SMALL = 4, 2, 32 * 2**20


@dataclass(frozen=True)
class Prepared:
    """One image ready for the network, or the reason why it cannot be read."""

    path: str | None
    pixels: NDArray[np.uint8] | None
    quality: Quality | None = None
    picture: NDArray[np.uint8] | None = None
    refused: str = ""


def load(
    path: Path | str,
    *,
    threads: int | None = None,
    check: bool = True,
    engine: Choice = "onnxruntime",
    images: int = 1,
) -> Predictor:
    """A model file ready to answer. Raises BundleError when it is damaged or altered.

    `check` runs its self-test (under 200 ms): the pictures stored in it must give the stored
    probabilities on this machine. `threads` defaults to the cores that this process may use.
    `engine` "auto" takes OpenVINO where it is installed, `images` are enough to be worth the
    question, it answers as ONNX Runtime does, and it is measured to be faster. An engine that is
    named and answers otherwise is a BundleError, one that is not installed a ConfigError.
    """
    bundle = read_bundle(Path(path))
    if engine != "auto":
        return _opened(bundle, engine, threads, check=check, where=path)
    first = _opened(bundle, "onnxruntime", threads, check=check, where=path)
    # 8-bit arithmetic rounds differently in each engine, and limits were fitted with the first.
    if images < MANY_IMAGES or bundle.info.is_int8 or not installed("openvino"):
        return first
    try:
        second = _opened(bundle, "openvino", threads, check=check, where=path)
    except BundleError:  # a graph that OpenVINO does not manage, or runs wrongly
        return first
    timed = {p.session.engine: p.time_a_batch for p in (first, second)}
    return second if fastest(timed) == "openvino" else first


def _opened(
    bundle: Bundle, engine: Engine, threads: int | None, *, check: bool, where: Path | str
) -> Predictor:
    predictor = Predictor(bundle, threads=threads, engine=engine)
    if check:
        self_test(predictor.session, bundle, where=where)
    return predictor


class Predictor:
    """Answers for images with one model. Safe to use from several threads at once."""

    def __init__(
        self, bundle: Bundle, *, threads: int | None = None, engine: Engine = "onnxruntime"
    ) -> None:
        self.bundle = bundle
        self.info: BundleInfo = bundle.info
        self.spec = bundle.info.preprocess.spec
        self.session = Session(bundle.onnx, bundle.info.tensors, threads=threads, engine=engine)
        self.gate = Gate.from_bundle(bundle) if bundle.info.ood else None
        small = engine == "onnxruntime" and len(bundle.onnx) <= SMALL
        self.batch_size = SMALL_BATCH if small else BATCH
        self.model = {
            "name": self.info.name,
            "version": self.info.version,
            "sha256": bundle.sha256,
        }

    def predict(
        self,
        image: Source,
        *,
        heatmap: bool | str = False,
        frame: int | None = None,
        limits: Limits | None = None,
    ) -> Prediction:
        """The verdict on one image: a path, the bytes of a file, or RGB pixels (H, W, 3) uint8.

        An image that cannot be read gives a prediction with status "reject" and the reason.
        `heatmap` True explains the likeliest class, a class's name that class. `frame` chooses one
        of several frames, from 0. Raises BundleError when asked for a heat map that this model does
        not have, ConfigError for a class that it does not know.
        """
        prepared = self.prepare(image, picture=bool(heatmap), frame=frame, limits=limits)
        return self.judge([prepared], heatmap=heatmap)[0]

    def predict_many(
        self,
        images: Iterable[Source],
        *,
        batch_size: int | None = None,
        heatmap: bool | str = False,
        frame: int | None = None,
        limits: Limits | None = None,
    ) -> Iterator[Prediction]:
        """Predictions in the order of `images`, as a stream: memory does not grow with it.

        Every core takes a batch, from decoding to verdict; one that is alone has all of them.
        `batch_size` is by default what suits the size of the model.
        """
        self._require_heatmap(heatmap)
        return self._stream(images, batch_size or self.batch_size, heatmap, frame, limits)

    def time_a_batch(self) -> None:
        """Run the network once on a batch of the stored pictures: what `fastest` measures."""
        pictures = self.bundle.golden["image"].astype(np.uint8, copy=False)
        self._run(np.resize(pictures, (BATCH, *pictures.shape[1:])), heatmap=False)

    def _stream(
        self,
        images: Iterable[Source],
        batch_size: int,
        heatmap: bool | str,
        frame: int | None,
        limits: Limits | None,
    ) -> Iterator[Prediction]:
        stream = iter(images)
        batches = iter(lambda: list(islice(stream, batch_size)), [])
        first = list(islice(batches, 2))
        several = len(first) == 2 and self.session.threads > 1

        def answer(batch: list[Source]) -> list[Prediction]:
            prepared = [
                self.prepare(image, picture=bool(heatmap), frame=frame, limits=limits)
                for image in batch
            ]
            return self.judge(prepared, heatmap=heatmap, side_by_side=several)

        threads = self.session.threads
        for found in thread_map(answer, chain(first, batches), threads, ahead=threads + 1):
            yield from found

    def prepare(
        self,
        image: Source,
        *,
        picture: bool = False,
        frame: int | None = None,
        limits: Limits | None = None,
    ) -> Prepared:
        """The first half of `predict`: decode, resize, measure. For programs that batch themselves.

        `picture` keeps the decoded picture, which a heat map is drawn on. Raises nothing over an
        image that cannot be read: `refused` then says why.
        """
        path = str(image) if isinstance(image, str | Path) else None
        try:
            if isinstance(image, np.ndarray):
                pixels, size = preprocess(_rgb(image), self.spec), image.shape[:2]
                whole = image if picture else None
            else:
                source = Path(image) if isinstance(image, str) else image
                bounds = limits or Limits()
                pixels, decoded = load_preprocessed(source, self.spec, frame=frame, limits=bounds)
                whole = decoded.pixels if picture else None  # a copy, made for a drawing only
                size = decoded.facts.height, decoded.facts.width
        except ImageRefused as error:
            return Prepared(path, None, refused=str(ImageRefused(error.problem, hint=error.hint)))
        return Prepared(path, pixels, measure(pixels, size), whole)

    def judge(
        self,
        batch: Sequence[Prepared],
        *,
        heatmap: bool | str = False,
        side_by_side: bool = False,
    ) -> list[Prediction]:
        """The second half: the network and the rules on what `prepare` made, in its order.

        `side_by_side`: other threads call this at the same time; see `Session.run`.
        """
        self._require_heatmap(heatmap)
        readable = [prepared.pixels for prepared in batch if prepared.pixels is not None]
        outputs: Outputs = {}
        if readable:
            images = np.stack(readable) if len(readable) > 1 else readable[0][None]
            outputs = self._run(images, heatmap=heatmap, side_by_side=side_by_side)
        results, row = [], 0
        for prepared in batch:
            if prepared.pixels is None:
                results.append(self._unreadable(prepared))
                continue
            own = {name: output[row] for name, output in outputs.items()}
            results.append(self._prediction(prepared, own, heatmap))
            row += 1
        return results

    def _run(
        self, images: NDArray[np.uint8], *, heatmap: bool | str, side_by_side: bool = False
    ) -> Outputs:
        tensors = self.info.tensors
        wanted = {"scores": tensors.probabilities}
        if self.gate is not None:
            wanted |= {view: getattr(tensors, view) for view in self.gate.from_graph}
        if heatmap and tensors.heatmap:
            wanted["heatmap"] = tensors.heatmap
        found = self.session.run(images, list(wanted.values()), side_by_side=side_by_side)
        outputs = dict(zip(wanted, found, strict=True))
        if self.gate is not None:
            outputs["ood"] = self.gate.score(outputs, images)
        return outputs

    def _prediction(self, prepared: Prepared, outputs: Outputs, heatmap: bool | str) -> Prediction:
        scores = outputs["scores"]
        ood = float(outputs["ood"]) if "ood" in outputs else None
        assert prepared.quality is not None  # noqa: S101 - set whenever there are pixels
        found = faults(prepared.quality, self.info.quality)
        verdict = self._verdict(scores, ood, found)
        shown = dict(zip(self.info.classes, scores.tolist(), strict=True))
        likeliest = self.info.classes[int(scores.argmax())]
        explained = heatmap if isinstance(heatmap, str) else likeliest
        return Prediction(
            path=prepared.path,
            status=verdict.status,
            predicted=verdict.predicted,
            probability=verdict.probability,
            probabilities={} if verdict.status == "reject" else shown,
            reason=verdict.reason,
            ood_score=ood if ood is not None and np.isfinite(ood) else None,
            model=self.model,
            quality=prepared.quality,
            faults=found,
            code=verdict.code,
            values=verdict.values,
            scores=scores,
            heatmap=self._map_of(outputs, explained),
            explained=explained if "heatmap" in outputs else None,
            picture=prepared.picture,
        )

    def _verdict(
        self, scores: NDArray[np.float32], ood: float | None, found: tuple[Fault, ...]
    ) -> Verdict:
        if found:
            return reject(found[0].key, found[0].text, limit=found[0].limit)
        gated = None if ood is None else decide_ood(self.info, ood)
        return gated or decide(self.info, scores)

    def _unreadable(self, prepared: Prepared) -> Prediction:
        return Prediction(
            path=prepared.path,
            status="reject",
            predicted=None,
            probability=None,
            probabilities={},
            reason=prepared.refused,
            ood_score=None,
            model=self.model,
            code="unreadable",
        )

    def _map_of(self, outputs: Outputs, name: str) -> NDArray[np.float32] | None:
        return outputs["heatmap"][self.info.classes.index(name)] if "heatmap" in outputs else None

    def _require_heatmap(self, wanted: bool | str) -> None:
        if wanted and self.info.tensors.heatmap is None:
            raise BundleError(
                f"the model '{self.info.name}' has no heat map in it",
                hint="Predict without heat maps, or export it again.",
            )
        if isinstance(wanted, str) and wanted not in self.info.classes:
            raise ConfigError(
                f"the model has no class '{wanted}'", hint=did_you_mean(wanted, self.info.classes)
            )


def _rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageRefused(
            f"is an array of {pixels.dtype} {pixels.shape}",
            hint="Give 8-bit RGB pixels, shape (height, width, 3).",
        )
    return pixels
