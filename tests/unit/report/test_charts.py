"""A chart drawn as SVG: well formed, in its frame, escaped, with what a reader needs beside it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from overread.report.charts import (
    Axis,
    Chart,
    PlotSeries,
    Reference,
    colour_numbers,
    render_heat,
    render_svg,
    round_axis,
    shorten,
)
from overread.report.figures import Matrix, write_figures

SVG = "{http://www.w3.org/2000/svg}"


def chart(**changes: object) -> Chart:
    x = np.array([0.0, 0.5, 1.0])
    values: dict[str, object] = {
        "name": "roc",
        "title": "ROC",
        "description": "what it shows",
        "x": Axis("x axis"),
        "y": Axis("y axis", percent=True),
        "series": (PlotSeries("a & <b>", x, x**2, x**2 - 0.1, x**2 + 0.1),),
        "references": (Reference("chance", (0, 0), (1, 1)),),
    }
    return Chart(**{**values, **changes})  # type: ignore[arg-type]


def drawn(made: Chart) -> ET.Element:
    return ET.fromstring(render_svg(made, standalone=True))  # noqa: S314  (our own text)


def numbers(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([-\d.]+)[ ,]([-\d.]+)", points)]


def test_it_is_a_picture_with_a_name_and_a_description() -> None:
    root = drawn(chart())
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "ROC"
    assert root.findtext(f"{SVG}desc") == "what it shows"
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"x axis", "y axis", "a & <b>", "chance", "20%", "0.2"} <= set(texts)


def test_points_lie_where_the_axes_say() -> None:
    root = drawn(chart())
    line = next(root.iter(f"{SVG}polyline"))
    (x0, y0), (xm, ym), (x1, y1) = numbers(line.get("points", ""))
    assert xm == pytest.approx((x0 + x1) / 2, abs=0.1)
    assert y0 > ym > y1  # SVG counts downwards
    assert ym == pytest.approx(y0 + 0.25 * (y1 - y0), abs=0.1)


def test_bands_and_lines_stay_near_the_frame() -> None:
    x = np.array([0.0, 1.0])
    wild = PlotSeries("wild", x, np.array([-50.0, 90.0]), x - 100, x + 100)
    root = drawn(chart(series=(wild,)))
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for shape in [*root.iter(f"{SVG}polyline"), *root.iter(f"{SVG}polygon")]:
        for px, py in numbers(shape.get("points", "")):
            assert 0 <= px <= width and -10 <= py <= height


def test_intervals_of_points_are_whiskers() -> None:
    x = np.array([0.2, 0.8])
    points = PlotSeries("p", x, x, x - 0.1, x + 0.1, "points")
    root = drawn(chart(series=(points,), references=()))
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert len([p for p in root.iter(f"{SVG}path") if "V" in (p.get("d") or "")]) == 2


def test_a_thin_line_has_the_colour_of_the_line_before_it_and_no_entry() -> None:
    x = np.array([0.0, 1.0])
    lines = [
        PlotSeries("one", x, x),
        PlotSeries("", x, x / 2, kind="thin"),
        PlotSeries("two", x, x / 3),
    ]
    chart = Chart("c", "t", "d", Axis("x"), Axis("y"), tuple(lines))
    assert colour_numbers(chart) == [0, 0, 1]
    svg = render_svg(chart)
    assert svg.count("<polyline") == 3 and svg.count("var(--s1") == 3 and svg.count("var(--s2") == 2
    assert svg.count('<text x="90"') == 2, "the legend names two lines"


def test_counts_are_drawn_and_written() -> None:
    counts = (np.array([0.0, 0.5, 1.0]), np.array([7.0, 21.0]))
    root = drawn(chart(counts=counts))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "7" in texts and "21" in texts
    bars = [float(r.get("height", "0")) for r in root.iter(f"{SVG}rect") if r.get("fill-opacity")]
    assert bars[1] == pytest.approx(3 * bars[0], rel=0.02)


def test_an_empty_series_is_no_error() -> None:
    nothing = PlotSeries("none", np.array([]), np.array([]), np.array([]), np.array([]))
    assert "none" in render_svg(chart(series=(nothing,)))


def test_inline_charts_follow_the_page_colours() -> None:
    inline = render_svg(chart())
    assert "xmlns" not in inline and "var(--s1" in inline and "currentColor" in inline


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.013, 0.019), (-3.0, 250.0), (1.0, 30.0), (5.0, 5.0), (0, 0)]
)
def test_a_round_axis_holds_its_values_between_few_ticks(low: float, high: float) -> None:
    axis = round_axis("y", [low, high])
    assert axis.low <= low and axis.high >= high and axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 9
    assert axis.ticks[0] == axis.low and axis.ticks[-1] == axis.high


def test_epochs_are_counted_in_whole_numbers() -> None:
    for low, high in ((1, 2), (0, 0), (1, 7), (1, 300)):
        ticks = round_axis("epoch", [low, high], whole=True).ticks
        assert all(tick == int(tick) for tick in ticks) and len(ticks) >= 2


def test_a_long_name_gives_way_in_its_middle() -> None:
    assert shorten("melanoma") == "melanoma"
    short = shorten("Actinic keratosis / intraepithelial carcinoma")
    assert len(short) <= 22 and short.startswith("Actinic ke") and short.endswith("carcinoma")


def test_an_axis_of_nothing_finite_is_still_an_axis() -> None:
    axis = round_axis("y", [float("nan")])
    assert axis.low < axis.high


def test_the_confusion_matrix_shows_counts_and_names() -> None:
    counts = np.array([[8, 2], [0, 0]])
    root = ET.fromstring(render_heat("M", counts, ["<a>", "b"], "truth", "said"))  # noqa: S314
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert texts.count("<a>") == 2 and {"8", "2", "0", "truth", "said"} <= set(texts)


def test_figures_are_written_as_svg_and_png_from_the_same_data(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    counts = (np.array([0.0, 0.5, 1.0]), np.array([7.0, 21.0]))
    x = np.array([0.2, 0.8])
    charts = [
        chart(),
        chart(name="cal", counts=counts, series=(PlotSeries("肺炎", x, x, x, x, "points"),)),
    ]
    matrix = Matrix(np.array([[8, 2], [1, 9]]), ("a", "b"), "M", "truth", "said")
    written = write_figures(tmp_path / "figures", charts, matrix)
    names = {path.name for path in written}
    assert names == {f"{n}.{kind}" for n in ("roc", "cal", "confusion") for kind in ("svg", "png")}
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert min(picture.size) > 300
        else:
            ET.parse(path)  # noqa: S314
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names


def test_without_matplotlib_only_svg_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overread.report.figures.find_spec", lambda name: None)
    written = write_figures(tmp_path, [chart()], None)
    assert [path.name for path in written] == ["roc.svg"]
