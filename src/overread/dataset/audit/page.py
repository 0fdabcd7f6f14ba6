"""RUN/audit.html: what the audit found, with the pictures side by side, and what to do about it."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from overread.dataset.audit.page_rows import CHECKS, FindingRow, known_traps, size_remarks
from overread.dataset.read.known_data_sets import known_data_set_named
from overread.dataset.read.source import image_bytes
from overread.documents.audit import Audit
from overread.documents.manifest import ImageRecord, Manifest, read_manifest
from overread.errors import DataError, ImageRefused
from overread.files import write_text
from overread.pages.page_record import record_pages
from overread.pages.probes import FAILED, probe_name
from overread.pages.render import data_uri, render_page
from overread.pages.texts import Said, say
from overread.stats.estimate import Estimate

PACKAGE = Path(__file__).parent
PICTURE = re.compile(r'<img src="data:image/jpeg;base64,([^"]*)" alt="([^"]*)"')
SIDE = 176  # long side of a thumbnail, pixels
MOST_PICTURES = 24  # rows shown as pictures, a finding
MOST_ROWS = 400  # rows listed in words, a finding
MOST_IN_SET = 5  # thumbnails of one set of copies


@dataclass(frozen=True)
class ShownImage:
    """One image of a finding. `picture` is a data: address ("" where it cannot be shown).

    `matrix` (SVG order a b c d e f) lays it over the first image of its row, whose displayed
    size is `frame`; "" where it is shown as it is.
    """

    path: str
    label: str
    split: str
    picture: str
    width: int
    height: int
    matrix: str = ""
    frame: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ShownFinding:
    """All items of one kind; `key` names its texts, `level` is "bad", "warn" or "note"."""

    key: str
    level: str
    rows: tuple[FindingRow, ...]
    views: tuple[tuple[ShownImage, ...], ...] = ()

    @property
    def listed(self) -> tuple[FindingRow, ...]:
        return self.rows[:MOST_ROWS]


Thumbnail = Callable[[str], bytes | None]


def write_audit_page(run: Path) -> Path:
    """Write RUN/audit.html from RUN/audit.json and RUN/manifest.csv; returns its path.

    Pictures are read from the data; one that cannot be read is left out, never an error. Raises
    DataError where audit.json or manifest.csv is missing or damaged.
    """
    run = Path(run)
    audit, manifest = Audit.read(run), read_manifest(run)
    page = render_audit_page(audit, manifest, lambda path: thumbnail(manifest.root, path))
    write_text(run / "audit.html", page)
    record_pages(run, [run / "audit.html"])
    return run / "audit.html"


def redraw_audit_page(run: Path, printed: str) -> str:
    """The page as RUN/audit.json and RUN/manifest.csv give it, with the pictures of `printed`.

    Images lie in the splits they had when they were audited: `overread split` makes new ones.
    """
    audit, manifest = Audit.read(run), read_manifest(run)
    if "given_splits" in audit.model_fields_set:
        given = {path: name for name, paths in audit.given_splits.items() for path in paths}
        records = (replace(r, split=given.get(r.path, "")) for r in manifest.records)
        manifest = manifest.with_records(tuple(records))
    pictures = {html.unescape(path): data for data, path in PICTURE.findall(printed)}

    def picture(path: str) -> bytes | None:
        return base64.b64decode(pictures[path]) if path in pictures else None

    return render_audit_page(audit, manifest, picture)


def thumbnail(root: Path, path: str) -> bytes | None:
    """The image as a small JPEG, or None where it cannot be read."""
    from PIL import Image

    from overread.images.decode import read_image

    try:
        pixels = read_image(image_bytes(root, path), reduce_to=(SIDE, SIDE)).pixels
    except (ImageRefused, DataError, OSError):
        return None
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=82)
    return target.getvalue()


def render_audit_page(audit: Audit, manifest: Manifest, thumbnails: Thumbnail) -> str:
    """The page as HTML. `thumbnails(path)` gives an image as JPEG bytes, or None.

    A field that was never filled in is a check that was not made, and the page says so.
    """
    records = {record.path: record for record in manifest.records}
    known: dict[str, str] = {}

    def picture(path: str) -> str:
        if path not in known:
            found = thumbnails(path) if path in records else None
            known[path] = data_uri(found, "image/jpeg") if found else ""
        return known[path]

    done = _looked_for(audit)
    findings = tuple(
        _with_views(ShownFinding(key, level, tuple(rows(audit))), records, picture)
        for key, (level, rows) in CHECKS.items()
        if key in done
    )
    return render_page(
        PACKAGE,
        "audit.html",
        heading=manifest.root.name,
        known=_title(audit),
        audit=audit,
        records=records,
        findings=[finding for finding in findings if finding.rows],
        clear=[finding.key for finding in findings if not finding.rows],
        skipped=[key for key in CHECKS if key not in done],
        verdict=_verdict(audit, findings),
        level={"clean": "good", "blocked": "bad"}.get(audit.verdict, "warn"),
        shortcuts=list(_shortcuts(audit)),
        bad_probe=FAILED,
        classes=sorted(audit.classes.items(), key=lambda item: -item[1]),
        most=max(audit.classes.values(), default=1),
        groups=[group for group in audit.groups if len(group) > 1],
        most_pictures=MOST_PICTURES,
        most_in_set=MOST_IN_SET,
        notes=audit.notes,
        unsearched=not audit.duplicate_search,
        sizes=list(size_remarks(audit)),
        traps=list(known_traps(audit)),
    )


def _looked_for(audit: Audit) -> set[str]:
    """The findings that this audit could have had: fields of audit.json that were filled in."""
    done = set(audit.model_fields_set)
    return done if audit.duplicate_search else done - {"near_duplicates"}


def _title(audit: Audit) -> str:
    """What the known data set is called, "" where it is none."""
    name = audit.known_data_set or ""
    data_set = known_data_set_named(name)
    return data_set.title if data_set else name


def _with_views(
    finding: ShownFinding, records: Mapping[str, ImageRecord], picture: Callable[[str], str]
) -> ShownFinding:
    if finding.key == "unreadable":
        return finding
    views = tuple(_views(row, records, picture) for row in finding.rows[:MOST_PICTURES])
    return ShownFinding(finding.key, finding.level, finding.rows, views)


def _views(
    row: FindingRow, records: Mapping[str, ImageRecord], picture: Callable[[str], str]
) -> tuple[ShownImage, ...]:
    views = [_view(path, records.get(path), picture) for path in row.paths[:MOST_IN_SET]]
    matrix = laid_over(row.transform) if len(views) == 2 else ""
    first = views[0]
    if matrix and first.picture and views[1].picture and first.width and views[1].width:
        b = views[1]
        over = ShownImage(b.path, b.label, b.split, b.picture, b.width, b.height, matrix)
        views.append(ShownImage(**{**vars(over), "frame": (first.width, first.height)}))
    return tuple(views)


def _view(path: str, record: ImageRecord | None, picture: Callable[[str], str]) -> ShownImage:
    if record is None:
        return ShownImage(path, "", "", "", 0, 0)
    return ShownImage(
        path, record.label, record.split, picture(path), int(record.width), int(record.height)
    )


def laid_over(transform: Sequence[Sequence[float]] | None) -> str:
    """The SVG matrix that draws b over a, from the 2x3 map of a's pixels to b's
    (x right, y down, the centre of the first pixel at 0, 0).

    Returns "" without a map, for one that cannot be inverted, and for the identity, which would
    show the same picture again.
    """
    if transform is None:
        return ""
    forth = np.asarray(transform, dtype=np.float64)
    if forth.shape != (2, 3) or not np.isfinite(forth).all():
        return ""
    if abs(np.linalg.det(forth[:, :2])) < 1e-9 or np.allclose(forth, [[1, 0, 0], [0, 1, 0]]):
        return ""
    # The map counts from the centre of the first pixel, SVG from its corner.
    corner, centre = np.eye(3), np.eye(3)
    corner[:2, 2], centre[:2, 2] = 0.5, -0.5
    back = np.linalg.inv(corner @ np.vstack([forth, [0, 0, 1]]) @ centre)
    return " ".join(f"{back[i, j]:.6g}" for j in range(3) for i in range(2))


def _verdict(audit: Audit, findings: Sequence[ShownFinding]) -> tuple[Said, ...]:
    """The verdict in one sentence, and what was counted."""
    counted = tuple(
        say("audit.counted", name=say(f"finding.{f.key}.name"), n=f"{len(f.rows):,}")
        for f in findings
        if f.rows
    )
    probes = [probe for probe in audit.shortcuts if probe.verdict in FAILED]
    if probes:
        counted += (say("audit.counted", name=say("finding.shortcuts.name"), n=f"{len(probes):,}"),)
    lead = say(
        f"audit.verdict_{audit.verdict}", images=f"{audit.images:,}", classes=len(audit.classes)
    )
    also = "audit.noted" if audit.verdict == "clean" else "audit.found"
    return (lead, say(also, list=counted)) if counted else (lead,)


def _shortcuts(audit: Audit) -> Iterator[dict[str, Any]]:
    for probe in audit.shortcuts:
        yield {
            "name": probe_name(probe.probe),
            "estimate": Estimate(probe.auroc, *probe.ci95),
            "n": audit.images if probe.n is None else probe.n,
            "verdict": probe.verdict,
        }
