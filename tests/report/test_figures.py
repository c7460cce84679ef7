import math
import re

import pytest

from fuxian.report.figures import MOST_POINTS, Bar, Line, draw_intervals, draw_lines, thinned

HOSTILE = '</svg><script>alert("1")</script> $\\frac{$ "quoted" & _hidden 中文'


def test_text_in_a_picture_is_escaped_and_never_parsed_as_mathematics() -> None:
    svg = draw_lines([Line("a", [1, 2], [1.0, 2.0])], HOSTILE, HOSTILE, markers=True, key="k")
    assert "<script" not in svg
    assert svg.count("</svg>") == 1
    assert "&lt;script&gt;" in svg and "$\\frac{$" in svg and "中文" in svg


def test_a_picture_is_lean_and_takes_its_colours_and_fonts_from_the_page() -> None:
    svg = draw_lines([Line("a", [1, 2, 3], [1.0, 2.0, 1.0])], "x", "y", markers=False, key="k")
    assert len(svg) < 15_000
    assert "var(--s1)" in svg
    assert not re.search(r"#0[0-9a-f]{5}\b|font-family|<metadata|<\?xml|<style", svg)


def test_ids_of_two_pictures_differ() -> None:
    line = [Line("a", [1, 2], [1.0, 2.0], [0.5, 1.5], [1.5, 2.5])]
    ids = [
        set(re.findall(r'id="([^"]+)"', draw_lines(line, "x", "y", markers=True, key=key))) for key in "ab"
    ]
    assert ids[0] and not ids[0] & ids[1]


def test_the_same_picture_is_drawn_the_same() -> None:
    line = [Line("a", [1, 2], [1.0, 2.0])]
    assert len({draw_lines(line, "x", "y", markers=True, key="k") for _ in range(2)}) == 1


def test_a_wide_range_is_drawn_on_a_logarithmic_axis_with_plain_ticks() -> None:
    svg = draw_lines([Line("a", [1, 2, 3], [1000.0, 1.0, 0.01])], "x", "y", markers=False, key="k")
    assert ">0.01<" in svg and ">100<" in svg and "mathdefault" not in svg


@pytest.mark.parametrize("values", [[1.0], [math.nan, 1.0], [0.0, 0.0], [-1.0, 1e12], [1e-30, 1e30]])
def test_odd_series_can_be_drawn(values: list[float]) -> None:
    assert draw_lines([Line("a", range(len(values)), values)], "x", "y", markers=False, key="k")


def test_a_long_series_is_thinned_to_means_of_its_finite_points() -> None:
    n = 10 * MOST_POINTS
    line = thinned(Line("a", range(n), [math.nan if x % 2 else 1.0 + x for x in range(n)], style=3))
    assert len(line.x) <= MOST_POINTS and line.style == 3
    assert all(y == pytest.approx(x + 1) for x, y in zip(line.x, line.y, strict=True))
    assert thinned(Line("a", [], [])).x == []


def zone(svg: str) -> tuple[float, float]:
    path = re.search(r'<path d="([^"]*)"[^>]*fill: var\(--zone\)', svg)
    assert path
    xs = [float(x) for x in re.findall(r"[ML] (-?[\d.]+) ", path[1])]
    return min(xs), max(xs)


@pytest.mark.parametrize("margin", [0.02, 0.0])
def test_the_tinted_side_is_the_accepted_one(margin: float) -> None:
    bar = [Bar("ours", 0.5, (0.4, 0.6), (0.42, 0.58), (0.45, 0.55), ours=True)]
    higher = draw_intervals(bar, 0.5, 0.5 - margin, "x", "k", higher_is_better=True, percent=False)
    lower = draw_intervals(bar, 0.5, 0.5 + margin, "x", "k", higher_is_better=False, percent=False)
    assert zone(higher)[1] > zone(lower)[1]
    assert zone(higher)[0] > zone(lower)[0]


def test_fractions_are_shown_in_per_cent() -> None:
    svg = draw_intervals(
        [Bar("ours", 0.985, (0.98, 0.99))], 0.987, 0.983, "x", "k", higher_is_better=True, percent=True
    )
    assert re.search(r">9\d(\.\d+)?<", svg)


def test_all_figures_alike_can_be_drawn() -> None:
    assert draw_intervals([Bar("ours", 0.0)], 0.0, 0.0, "x", "k", higher_is_better=True, percent=False)
