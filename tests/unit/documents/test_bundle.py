"""`bundle.json`: what is accepted, what is refused, and that nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from overread.bundle.read import parse_info
from overread.bundle.steps import describe
from overread.documents.bundle import NOTICE
from overread.errors import BundleError
from overread.export.stated import stated_preprocess
from overread.images.preprocess import PreprocessSpec
from tiny_bundle import info


def changed(**changes: Any) -> bytes:
    document = json.loads(info().model_dump_json())
    document.update(changes)
    return json.dumps(document).encode()


def test_it_comes_back_equal_and_frozen() -> None:
    whole = info(
        conformal={"coverage": 0.9, "quantiles": (0.1, 0.2, 0.3)},
        ood={
            "method": "m",
            "threshold": 1.0,
            "dimension": 3,
            "accepted": 0.97,
            "tried": {"m": 1.0},
        },
        results={"accuracy": {"value": 0.9, "ci95": (0.8, 0.95)}, "n": {"value": 5.0}},
        limits=("adults only",),
        name="乳腺超声 – Brustultraschall",
    )
    assert parse_info(whole.model_dump_json().encode()) == whole
    assert whole.notice == NOTICE
    with pytest.raises(ValidationError):
        whole.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"surplus": 1}, "surplus"),
        ({"name": 3}, "name"),
        ({"name": ""}, "name"),
        ({"format": 2}, "format"),
        ({"classes": ["a", "b"]}, "bundle.json"),
        ({"classes": ["a", "a", "b"]}, "bundle.json"),
        ({"classes": ["a"]}, "bundle.json"),
        ({"classes": []}, "classes"),
        ({"multilabel": "yes"}, "multilabel"),
        ({"operating_point": {"confidence": 1.2}}, "operating_point.confidence"),
        ({"operating_point": {"confidence": float("nan")}}, "operating_point.confidence"),
        ({"operating_point": {"confidence": 0.5, "thresholds": [0.5]}}, "bundle.json"),
        ({"calibration": {"scale": [1.0] * 3, "bias": [0.0] * 2}}, "bundle.json"),
        ({"calibration": {"scale": [1.0, float("inf"), 1.0], "bias": [0.0] * 3}}, "calibration"),
        ({"conformal": {"coverage": 0.9, "quantiles": [0.1]}}, "bundle.json"),
        ({"preprocess": {"height": 0, "width": 32}}, "preprocess.height"),
        ({"preprocess": {"height": 10**9, "width": 32}}, "preprocess.height"),
        ({"preprocess": {"height": 32, "width": 32, "resize": "crop"}}, "preprocess.resize"),
        ({"heatmap": {"scale": 0.0}}, "heatmap.scale"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BundleError, match=field.replace(".", r"\.")) as caught:
        parse_info(changed(**changes))
    assert "format 1" in str(caught.value)


def test_a_missing_field_is_named() -> None:
    document = json.loads(info().model_dump_json())
    del document["data"]["manifest_sha256"]
    with pytest.raises(BundleError, match=r"data\.manifest_sha256"):
        parse_info(json.dumps(document).encode())


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff\xfe", b"null"])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json"):
        parse_info(raw)


def test_one_class_is_enough_for_several_labels() -> None:
    one: dict[str, Any] = {
        "classes": ("nodule",),
        "multilabel": True,
        "calibration": {"scale": (1.0,), "bias": (0.0,)},
    }
    assert info(**one).classes == ("nodule",)


def test_preprocessing_is_stored_whole_and_in_words() -> None:
    spec = PreprocessSpec(224, 192, "shorter_side", 256, "bicubic", reduce=False)
    stored = stated_preprocess(spec)
    assert stored.spec == spec
    text = " ".join(stored.steps)
    for word in ("256", "224", "192", "bicubic", "EXIF", "channels last", "central"):
        assert word in text
    assert "nearest" in " ".join(describe(PreprocessSpec(8, 8, interpolation="nearest")))
