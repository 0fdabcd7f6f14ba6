"""What a smaller form of a model says of how it was made and how it answers."""

from __future__ import annotations

from collections.abc import Iterator

from overread.bundle.read import Bundle
from overread.documents.bundle import Conversion
from overread.export.attempts import Attempt, Precision
from overread.pages.texts import Said, say


def conversion_of(
    bundle: Bundle, attempt: Attempt, precision: Precision, *, drawn: bool
) -> Conversion:
    """The statement in bundle.json; `drawn`: it was compared on drawn pictures only."""
    found = attempt.agreement
    return Conversion(
        precision=precision,
        source_sha256=bundle.sha256,
        on="drawn" if drawn else "validation",
        images=found.images,
        changed=found.changed,
        largest=min(found.largest, 1.0),
        auroc=found.auroc,
        float_layers=attempt.floats,
        passed=found.passed,
    )


def conversion_note(conversion: Conversion, attempt: Attempt, *, tested: bool) -> Iterator[Said]:
    """What the card of a converted model says of the conversion."""
    before, after = conversion.auroc or (0.0, 0.0)
    yield say("card.converted", precision=conversion.precision, sha256=conversion.source_sha256)
    yield say(
        f"card.converted_{conversion.on}",
        images=f"{conversion.images:,}",
        changed=f"{conversion.changed:.1%}",
        largest=f"{conversion.largest:.3f}",
        before=f"{before:.4f}",
        after=f"{after:.4f}",
    )
    if conversion.float_layers:
        yield say("card.converted_floats", names=", ".join(conversion.float_layers))
    if conversion.precision == "int8" and not attempt.fitted:
        yield say("card.converted_kept")
    if not conversion.passed:
        yield say("card.converted_forced")
    yield say("card.converted_tested" if tested else "card.converted_untested")
