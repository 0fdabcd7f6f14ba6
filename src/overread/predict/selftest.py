"""Does this machine give the answers that the model's author saw? Checked at every load."""

from __future__ import annotations

import platform
import time

import numpy as np

from overread.bundle.read import Bundle
from overread.errors import BundleError, ImageRefused
from overread.images.decode import read_image
from overread.images.preprocess import preprocess
from overread.predict.engine import engine_version
from overread.predict.session import Session

# Other processors round differently; a wrong graph or a wrong resize differs far more.
TOLERANCE = 1e-3
# In 8 bits a last digit before rounding becomes a whole step after it.
INT8_TOLERANCE = 0.05
# JPEG decoders may differ by a level or two at single pixels.
GREY_LEVELS = 2.0
# Pictures are tried until this time is used up; at least one is.
ENOUGH_S = 0.1
# Compilers of graphs treat small batches and those that do not fill a register differently: one
# answered rightly to 2 images, wrongly to 4 and with NaN to 7.
BATCHES = (1, 2, 4, 7, 16)
# Values near nothing, as in the heat map of a picture without evidence, need not agree.
NOTHING = 1e-6


def self_test(session: Session, bundle: Bundle, *, where: object = None) -> None:
    """Run the pictures of `golden.npz`; BundleError, with the versions, when they differ.

    Another engine than ONNX Runtime must give, also to batches of them, what that gives here.
    """
    golden = bundle.golden
    started = time.perf_counter()
    for row in range(len(golden["image"])):
        _check_row(session, bundle, row, where)
        if time.perf_counter() - started > ENOUGH_S:  # a large network on a small computer
            break
    if "file" in golden:
        _check_picture(bundle, where)
    if session.engine != "onnxruntime":
        _check_batches(session, bundle, where)


def _check_row(session: Session, bundle: Bundle, row: int, where: object) -> None:
    image = bundle.golden["image"][row : row + 1].astype(np.uint8, copy=False)
    wanted = bundle.golden["probabilities"][row : row + 1].astype(np.float32, copy=False)
    (found,) = session.run(image, [bundle.info.tensors.probabilities])
    if found.shape != wanted.shape:
        raise _differs(bundle, f"{found.shape[1]} probabilities for {wanted.shape[1]}", where)
    distance = np.abs(found - wanted).max()
    allowed = INT8_TOLERANCE if bundle.info.is_int8 else TOLERANCE
    if not distance <= allowed:  # NaN is a difference too
        how = f"probabilities differ by {distance:.2g}, at most {allowed}"
        raise _differs(bundle, how, where)


def _check_batches(session: Session, bundle: Bundle, where: object) -> None:
    """Every output of the graph without and with the heat map, which are compiled separately."""
    reference = Session(bundle.onnx, bundle.info.tensors, threads=session.threads)
    images = bundle.golden["image"].astype(np.uint8, copy=False)
    allowed = INT8_TOLERANCE if bundle.info.is_int8 else TOLERANCE
    for names in session.output_sets:
        wanted = dict(zip(names, reference.run(images, names), strict=True))
        for size in BATCHES:
            rows = np.arange(size) % len(images)
            for name, found in zip(names, session.run(images[rows], names), strict=True):
                distance = np.abs(found - wanted[name][rows]).max()
                if not distance <= allowed * np.abs(wanted[name]).max() + NOTHING:
                    raise _unfit(session, f"{name} of {size} images by {distance:.2g}", where)


def _unfit(session: Session, how: str, where: object) -> BundleError:
    engine = session.engine
    return BundleError(
        f"{engine} {engine_version(engine)} runs this network wrongly: it differs from ONNX "
        f"Runtime in the {how}",
        where=where,
        hint="Use --engine onnxruntime. Where an earlier version made the file, one trained or "
        "imported anew suits both.",
    )


def _check_picture(bundle: Bundle, where: object) -> None:
    try:
        decoded = read_image(bundle.golden["file"].tobytes())
    except ImageRefused as error:
        raise _differs(bundle, f"its picture cannot be decoded ({error})", where) from error
    pixels = preprocess(decoded.pixels, bundle.info.preprocess.spec)
    wanted = bundle.golden["image"][0].astype(np.float32)
    distance = np.abs(pixels - wanted).mean()
    if not distance <= GREY_LEVELS:
        raise _differs(bundle, f"pictures are resized {distance:.1f} grey levels apart", where)


def _differs(bundle: Bundle, how: str, where: object) -> BundleError:
    here = versions()
    pairs = [f"{name} {bundle.info.versions.get(name, '?')} -> {here[name]}" for name in here]
    return BundleError(
        f"answers differently here than where it was made: {how} (then -> now: {', '.join(pairs)})",
        where=where,
        hint="Install the versions it was made with.",
    )


def versions() -> dict[str, str]:
    """Versions of what prediction runs on."""
    import onnxruntime
    import PIL

    from overread import __version__

    return {
        "overread": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": str(onnxruntime.__version__),
        "pillow": PIL.__version__,
    }
