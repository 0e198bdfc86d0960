"""The report's files: whole or not at all, complete, escaped, repeatable, and drawn for whatever a comparison holds."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import re
import sys
import xml.etree.ElementTree
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import upsample_lab.report as report
from tests.compare.synthetic import GREYS, METRICS, PATTERN, PSNR, USUAL, Recipe, flat_tensors, many, synthetic
from upsample_lab.catalogue import Metric
from upsample_lab.compare.curves import History, curve_of
from upsample_lab.compare.result import Comparison, Curve, Run, Variant, VariantCost
from upsample_lab.compare.words import listed, number, ranks_of, results_table, shortened, signed, standing
from upsample_lab.drawing.comparison import artifact_axis, drawings, forest_pairs, log_ticks
from upsample_lab.drawing.flat import load_flat
from upsample_lab.drawing.looks import NARROW_IN, SMALL_PT, WIDE_IN, variant_looks
from upsample_lab.drawing.palette import LOOKS, look_of
from upsample_lab.drawing.reconstructions import load_pictures
from upsample_lab.drawing.stretch import stretch_factor
from upsample_lab.drawing.style import new_figure
from upsample_lab.report import write_report
from upsample_lab.report.markdown import plain
from upsample_lab.report.passports import FOLDER, Card, passport_cards
from upsample_lab.report.sections import NO_FLAT
from upsample_lab.report.svg import DARK_CONTRAST, DARK_PAPER, contrast, on_dark, render

HOSTILE = "<script>alert(\"1\")</script> & 'co' | `$x$` </style>\n# **x**"


@dataclasses.dataclass(frozen=True)
class Written:
    comparison: Comparison
    folder: Path
    paths: list[Path]

    @property
    def page(self) -> str:
        return (self.folder / "report.html").read_text(encoding="utf-8")

    @property
    def markdown(self) -> str:
        return (self.folder / "report.md").read_text(encoding="utf-8")


def written(folder: Path, comparison: Comparison) -> Written:
    return Written(comparison, folder / "report", write_report(comparison, folder / "report", passports=False))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("usual")
    return written(folder, synthetic(folder))


# -------------------------------------------------------------------------------------------------------------- files


@pytest.mark.run
def test_writes_one_page_one_text_and_each_figure_twice(usual: Written) -> None:
    names = sorted(str(path.relative_to(usual.folder)) for path in usual.paths)
    stems = [f"differences-{metric.key.replace('/', '-')}" for metric in METRICS]
    stems += [
        "cost",
        "artifact",
        "curves-val-psnr_db",
        "curves-val-ssim",
        "curves-uniform-pattern_rms_levels",
        "regions",
    ]
    stems += ["reconstructions", "flat"]
    assert names == sorted(["report.html", "report.md", *(f"figures/{s}.{e}" for s in stems for e in ("png", "svg"))])
    assert usual.paths[0].name == "report.html"
    found = [str(path.relative_to(usual.folder)) for path in usual.folder.rglob("*") if path.is_file()]
    assert sorted(found) == names


def test_figures_are_images_of_their_kind(usual: Written) -> None:
    for path in (usual.folder / "figures").iterdir():
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.size[0] >= 1000
        else:
            assert xml.etree.ElementTree.parse(path).getroot().tag.endswith("svg")


def test_an_error_leaves_the_report_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = synthetic(tmp_path, USUAL[:2], (0, 1), metrics=(PSNR,), images=False, curves=False)
    folder = tmp_path / "report"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "curves-of-a-larger-report.svg").write_text("stale", encoding="utf-8")
    (folder / "results.csv").write_text("of another", encoding="utf-8")
    write_report(comparison, folder, passports=False)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert not [path for path in before if "larger" in path.name]
    assert before[folder / "results.csv"] == b"of another"

    def fail(*_: object) -> str:
        raise RuntimeError("half way")

    monkeypatch.setattr(report, "report_page", fail)
    with pytest.raises(RuntimeError, match="half way"):
        write_report(dataclasses.replace(comparison, experiment="other"), folder, passports=False)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.run
def test_the_same_comparison_gives_the_same_bytes(tmp_path: Path) -> None:
    comparison = synthetic(tmp_path, USUAL[:2], (0, 1), metrics=(PSNR,), curves=False, latency=False)
    both = [written(tmp_path / name, comparison) for name in ("one", "two")]
    files = [{path.relative_to(w.folder): path.read_bytes() for path in w.paths} for w in both]
    assert files[0] == files[1]


@pytest.mark.process
def test_needs_no_torch() -> None:
    code = "import sys, upsample_lab.report; sys.exit('torch' in sys.modules)"
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


# --------------------------------------------------------------------------------------------------------------- page


class Reader(HTMLParser):
    """What a page is made of: its elements with their attributes, and the ids it has and refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_page_holds_everything_that_was_compared(usual: Written) -> None:
    page, comparison = usual.page, usual.comparison
    for sentence in (*comparison.verdict, *comparison.caveats, *comparison.left_out):
        assert sentence in page
    for variant in comparison.variants:
        estimate = comparison.estimates[PSNR.key][variant.name]
        assert f"{estimate.mean:.2f} ± {estimate.std:.2f}" in page
        assert f"[{estimate.low:.2f}, {estimate.high:.2f}]" in page
    assert comparison.provenance.command in page
    assert comparison.provenance.commits[0] in page
    for pair in comparison.differences[PATTERN.key]:
        assert pair.verdict in page


def test_page_refers_to_nothing_outside_and_to_nothing_missing(usual: Written) -> None:
    reader = Reader(usual.page)
    ids = [str(attributes["id"]) for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"]) for attributes in reader.all("a")]
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert not reader.all("link")
    assert not reader.all("iframe")
    assert all(str(attributes["src"]).startswith("data:image/png;base64,") for attributes in reader.all("img"))
    used = set(re.findall(r"url\(#(\w+)\)", usual.page)) | set(re.findall(r'xlink:href="#(\w+)"', usual.page))
    assert used <= set(ids)
    outside = set(re.findall(r"https?://[^\"' )<]+", usual.page))
    assert outside <= {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in usual.page


def test_every_control_and_picture_has_a_name(usual: Written) -> None:
    reader = Reader(usual.page)
    for _, attributes in reader.elements:
        if attributes.get("role") in ("img", "region", "group"):
            assert attributes.get("aria-label")
    assert all(attributes.get("alt") for attributes in reader.all("img"))
    unnamed = [a for a in reader.all("input") if not a.get("aria-label") and a.get("id") != "zoom"]
    assert not unnamed


def test_colors_of_the_page_are_defined(usual: Written) -> None:
    used, defined = set(re.findall(r"var\((--[\w-]+)\)", usual.page)), set(re.findall(r"(--[\w-]+):", usual.page))
    assert used <= defined
    assert not used & {"--c-1f77b4", "--c-000000"}  # matplotlib's own, where a colour was forgotten


def test_hostile_names_are_text(tmp_path: Path) -> None:
    recipes: list[Recipe] = [(f"{HOSTILE} {r[0]}", *r[1:]) for r in USUAL[:2]]
    comparison = synthetic(
        tmp_path, recipes, (0, 1), metrics=(PSNR,), experiment=HOSTILE, curves=False, notes={HOSTILE: HOSTILE}
    )
    hostile = dataclasses.replace(comparison, verdict=(HOSTILE,) * 3, caveats=(HOSTILE,), left_out=(HOSTILE,))
    result = written(tmp_path, hostile)
    scripts = Reader(result.page).all("script")
    assert [attributes.get("type") for attributes in scripts] == ["application/json", None]
    assert "<script>alert" not in result.page
    assert result.page.count("</style>") == 1
    text = re.sub(
        r"^(`{3,})bash$.*?^\1$", "", result.markdown, flags=re.DOTALL | re.MULTILINE
    )  # commands stand in fences
    assert text.count("<script") == text.count("\\<script") > 0
    assert not [line for line in text.splitlines() if line.startswith("# **")]
    for path in (result.folder / "figures").glob("*.svg"):
        assert "<script" not in path.read_text(encoding="utf-8")


# ----------------------------------------------------------------------------------------------------------- Markdown


def test_markdown_tables_are_even_and_figures_are_there(usual: Written) -> None:
    lines = usual.markdown.splitlines()
    for _, group in itertools.groupby(lines, key=lambda line: line.startswith("|")):
        rows = [line for line in group if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1
    figures = re.findall(r"\]\((figures/[^)]+)\)", usual.markdown)
    assert len(figures) == 12
    assert all((usual.folder / figure).is_file() for figure in figures)
    assert usual.comparison.provenance.command in usual.markdown


def test_page_and_markdown_say_the_same(usual: Written) -> None:
    titles = re.findall(r'<h2 id="[\w-]+">([^<]+)</h2>', usual.page)
    assert re.findall(r"^## (.+)$", usual.markdown, flags=re.MULTILINE) == titles
    assert re.findall(r'<li><a href="#[\w-]+">([^<]+)</a></li>', usual.page) == titles
    tables = [table for table in re.findall(r"<table.*?</table>", usual.page, re.DOTALL) if 'class="flat"' not in table]
    in_page = [
        [
            _letters(re.sub(r"<[^>]+>", " ", cell.replace("<wbr>", "")))
            for cell in re.findall(r"<t[dh][ >].*?</t[dh]>", table, re.DOTALL)
        ]
        for table in tables
    ]
    groups = itertools.groupby(usual.markdown.splitlines(), key=lambda line: line.startswith("|"))
    in_markdown = [
        [_letters(cell) for line in lines if not line.startswith("|--") for cell in line.strip("|").split("|")]
        for is_table, lines in groups
        if is_table
    ]
    assert len(in_page) == len(in_markdown) == 1 + len(METRICS)
    for cells, others in zip(in_page, in_markdown, strict=True):
        assert len(cells) == len(others)
        # The page alone has small print on the options and on which way is better, and it says best in a word.
        assert all(set(other) <= set(cell) for cell, other in zip(cells, others, strict=True))


def _letters(cell: str) -> list[str]:
    """The words and numbers of a cell, without marks of its format."""
    cell = unescape(cell.replace("<br>", " "))
    return re.findall(r"[\w.,±−+≤]+", cell.replace("\\", "").replace("*", " "))


# -------------------------------------------------------------------------------------------------------------- shapes

SHAPES: dict[str, Callable[[Path], Comparison]] = {
    "one variant": lambda f: synthetic(f, USUAL[:1], metrics=(PSNR, PATTERN), curves=False),
    "one seed": lambda f: synthetic(f, USUAL[:2], (0,), metrics=(PSNR, PATTERN), curves=False),
    "nothing kept": lambda f: synthetic(
        f, USUAL[:2], (0, 1), metrics=(PSNR,), images=False, latency=False, curves=False
    ),
    "long names": lambda f: synthetic(
        f,
        [("long_name_" * 9 + r[0], *r[1:]) for r in USUAL[:2]],
        (0, 1),
        metrics=(PSNR,),
        channels=3,
        curves=False,
    ),
    "no such variant": lambda f: dataclasses.replace(
        synthetic(f, USUAL[:2], (0, 1), metrics=(PSNR,), images=False, curves=False),
        estimates={PSNR.key: {}},
        differences={},
        rankings={},
    ),
}


@pytest.mark.run
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_of_comparison_is_written(shape: str, tmp_path: Path) -> None:
    result = written(tmp_path, SHAPES[shape](tmp_path))
    assert not re.search(r"\bnan\b", result.page.partition("<script")[0])
    assert not re.search(r"\bnan\b", result.markdown)
    assert ('id="images"' in result.page) == (result.comparison.examples is not None)


def test_thirty_variants_are_told_apart(tmp_path: Path) -> None:
    comparison = synthetic(tmp_path, many(30), (0, 1), metrics=(PSNR,), images=False, curves=False)
    looks = variant_looks(comparison.variants)
    assert len({(look.color, str(look.dash), look.marker) for look in looks.values()}) == 30
    drawn = drawings(comparison)
    assert len(forest_pairs(comparison, PSNR)) == 29
    svg = render(drawn["cost"][0]).svg
    assert all(variant.name in svg for variant in comparison.variants)


@pytest.mark.parametrize("damage", ["missing", "broken", "other images"])
def test_a_variant_whose_images_are_unusable_is_left_out_of_the_gallery(damage: str, tmp_path: Path) -> None:
    comparison = synthetic(tmp_path, USUAL[:3], (0,), metrics=(PSNR,))
    assert comparison.examples is not None
    name = comparison.variants[1].name
    file = comparison.examples.files[name]
    if damage == "missing":
        file.unlink()
    elif damage == "broken":
        file.write_bytes(file.read_bytes()[:100])
    else:
        other = synthetic(tmp_path / "other", USUAL[1:2], (0,), metrics=(PSNR,), size_px=20)
        assert other.examples is not None
        file.write_bytes(next(iter(other.examples.files.values())).read_bytes())
    pictures = load_pictures(comparison)
    assert pictures is not None
    assert list(pictures.outputs) == [comparison.variants[0].name, comparison.variants[2].name]


def test_pictures_are_the_examples_in_their_order_and_errors_have_their_sign(tmp_path: Path) -> None:
    comparison = synthetic(tmp_path, USUAL[:2], (0,), metrics=(PSNR,))
    pictures = load_pictures(comparison)
    assert pictures is not None
    assert comparison.examples is not None
    for name, outputs in pictures.outputs.items():
        error = outputs[..., 0].astype(float) / 255 - pictures.originals[..., 0].astype(float) / 255
        np.testing.assert_allclose(pictures.errors[name], error, atol=1e-6)
        psnr_db = -10 * np.log10((error**2).mean(axis=(1, 2)))
        np.testing.assert_allclose(pictures.psnr_db[name], psnr_db, atol=0.1)  # stored before rounding to 8 bits


# --------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (29.954, 2, "29.95"),
        (-0.001, 2, "0.00"),
        (-1.5, 1, "−1.5"),
        (math.nan, 2, "–"),
        (None, 0, "–"),
        (69189, 0, "69,189"),
        (math.inf, 1, "∞"),
        (-math.inf, 1, "−∞"),
    ],
)
def test_number(value: float | None, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_signs_and_tiny_numbers() -> None:
    assert [signed(value, 1) for value in (0.04, 0.2, -0.2, math.inf)] == ["0.0", "+0.2", "−0.2", "+∞"]
    assert number(4.1e-6, 4, tiny=True) == "4e−06"
    assert number(0.0, 4, tiny=True) == "0.0000"


def test_shortened_names_keep_both_ends() -> None:
    assert shortened("deconv", 10) == "deconv"
    short = shortened("pixel_shuffle kernel_size=5", 12)
    assert len(short) == 12
    assert short.startswith("pixel_s")
    assert short.endswith("ze=5")


def test_table_has_a_cell_for_each_column_and_marks_the_best(usual: Written) -> None:
    columns, rows = results_table(usual.comparison)
    assert [column.heading for column in columns][:2] == ["PSNR (dB)", "SSIM"]
    assert [column.heading for column in columns][-3:] == ["parameters", "MACs (M)", "latency (ms)"]
    assert all(len(row) == len(columns) for row in rows)
    for metric in METRICS:
        best = usual.comparison.rankings[metric.key].order[0]
        names = [v.name for v in usual.comparison.variants]
        wanted = ["bicubic", "nearest", "bilinear"] if metric is PATTERN else [best]  # none, all three
        assert [name for name in names if standing(usual.comparison, metric, name) == "best"] == wanted


def test_what_is_none_has_one_rank_one_word_and_no_digits_everywhere(usual: Written) -> None:
    ranks = ranks_of(usual.comparison, PATTERN)
    assert list(ranks.items())[:4] == [("bicubic", 1), ("nearest", 1), ("bilinear", 1), ("dysample", 4)]
    column = list(METRICS).index(PATTERN)
    _, rows = results_table(usual.comparison)
    cells = {variant.name: row[column] for variant, row in zip(usual.comparison.variants, rows, strict=True)}
    assert [name for name, cell in cells.items() if cell.text == "none"] == ["bicubic", "nearest", "bilinear"]
    assert {cell.remark for cell in cells.values() if cell.text != "none"} == {""}  # a pattern in every run is no tie
    svg = (usual.folder / "figures" / "artifact.svg").read_text(encoding="utf-8")
    assert re.findall(r">1\u2002(\w+)<", svg) == ["bicubic", "nearest", "bilinear"]
    assert "4\u2002dysample" in svg
    for text in (usual.page, usual.markdown):
        assert "and bicubic, nearest and bilinear" in text  # first by the artifact


def of(name: str, upsampler: str, **options: object) -> Variant:
    """A variant with these options."""
    run = Run(Path("nowhere"), 0, {"upsample": {"name": upsampler, **options}}, {}, {})
    return Variant(name, upsampler, {}, (run,), VariantCost(1, None, None, None))


def test_a_variant_has_one_color_in_every_report() -> None:
    """Whatever it is called there, whoever is beside it, and whichever rank it has."""
    kernels = [of(f"deconv k{size}", "deconv", kernel_size=size, init="random") for size in range(2, 9)]
    starts = [
        of("deconv bilinear", "deconv", init="bilinear"),
        of("pixel_shuffle random", "pixel_shuffle", init="random"),
    ]
    usual = [of("deconv", "deconv", fold="always"), of("pixel_shuffle icnr", "pixel_shuffle"), of("nearest", "nearest")]
    alone = {variant.name: variant_looks([variant])[variant.name].color for variant in (*kernels, *starts, *usual)}
    for shown in (kernels, kernels[::-1], starts + usual, [*usual, kernels[1], *starts[::-1]]):
        colors = {name: look.color for name, look in variant_looks(shown).items()}
        assert colors == {variant.name: alone[variant.name] for variant in shown}
    assert alone["deconv k4"] == alone["deconv"] == look_of("deconv").color
    assert len({alone[variant.name] for variant in kernels}) == len(kernels)
    assert len({alone[variant.name] for variant in (*starts, *usual)}) == len(starts + usual)
    assert len({on_dark(alone[variant.name]) for variant in kernels}) == len(kernels)
    same = variant_looks([of("deconv mse", "deconv"), of("deconv l1", "deconv")])
    assert same["deconv mse"].color == same["deconv l1"].color
    assert same["deconv mse"].marker != same["deconv l1"].marker


def test_variants_look_like_their_upsampler_and_stand_out_on_both_papers() -> None:
    for name, look in LOOKS.items():
        assert contrast(on_dark(look.color), DARK_PAPER) >= DARK_CONTRAST, name
    comparison = synthetic(Path("nowhere"), USUAL, (0,), images=False)
    looks = variant_looks(comparison.variants)
    assert looks["nearest"].color == look_of("nearest").color
    assert looks["deconv k4"].color == look_of("deconv").color
    assert looks["deconv k3"] != looks["deconv k4"]


# ---------------------------------------------------------------------------------------------------------- flat areas


def test_flat_areas_are_shown_true_and_stretched_by_one_factor(usual: Written) -> None:
    """A checkerboard of known levels: its true tile has them rounded, its stretched one times the factor."""
    pictures = load_flat(usual.comparison)
    assert pictures is not None
    assert list(pictures.names) == [recipe[0] for recipe in USUAL]
    assert [panel.title for panel in pictures.panels] == [*(f"grey {grey}" for grey in GREYS), "worst flat window"]
    loudest = max(recipe[3] for recipe in USUAL)
    for panel in pictures.panels:
        factor = int(panel.heads[-1].removeprefix("×"))
        assert factor == 200  # the largest round factor that keeps 0.42 levels within 120
        for name, _, _, levels, *_ in USUAL:
            true, enlarged = panel.tiles[name][-2:]
            assert np.ptp(true.astype(int)) <= 1
            np.testing.assert_allclose(np.abs(enlarged.astype(int) - 128), factor * levels, atol=1.01)
            assert panel.words[name] == ("none" if levels < 0.01 else f"{levels:.2f}")
            assert factor * loudest <= 120
    for text in (usual.page, usual.markdown):
        assert "enlarged by the factor above" in text
    assert usual.page.count('alt="grey 128 by deconv k3') == 2
    assert "figures/flat.png" in usual.markdown


@pytest.mark.run
def test_runs_without_flat_areas_are_told_in_one_line(tmp_path: Path) -> None:
    comparison = synthetic(tmp_path, USUAL[:2], (0,), metrics=(PSNR,), curves=False, latency=False)
    for count, variant in enumerate(comparison.variants, 1):
        file = variant.runs[0].path / "test_images.safetensors"
        save_file({k: v for k, v in load_file(file).items() if not k.startswith(("uniform", "flat"))}, file)
        result = written(tmp_path, comparison)
        every = count == len(comparison.variants)
        assert ('id="flat"' in result.page) is ('href="#flat"' in result.page) is not every
        line = NO_FLAT if every else f"{listed([v.name for v in comparison.variants[:count]])} kept no such pictures."
        assert line in result.page
        assert plain(line) in result.markdown


@pytest.mark.parametrize(("levels", "factor"), [(0.0, 1000), (1e-5, 1000), (0.3, 200), (1.0, 100), (7, 10), (100, 1)])
def test_stretch_factor(levels: float, factor: int) -> None:
    assert stretch_factor([flat_tensors(levels)["uniform_outputs"][2], np.full((1, 16, 16), 0.3, np.float32)]) == factor


# ------------------------------------------------------------------------------------------------------ few, or zero


def test_no_curve_is_drawn_through_fewer_than_four_points(tmp_path: Path) -> None:
    comparison = synthetic(tmp_path, USUAL[:3], (0, 1), metrics=(PSNR, PATTERN), images=False)
    few = {
        key: {
            name: Curve(*(getattr(curve, part)[-3:] for part in ("steps", "mean", "low", "high")))
            for name, curve in curves.items()
        }
        for key, curves in comparison.curves.items()
    }
    result = written(tmp_path, dataclasses.replace(comparison, curves=few))
    assert not list((result.folder / "figures").glob("curves-*"))
    for text in (result.page, result.markdown):
        assert "no curve, as there are validations at 3 steps only and four points make one" in text
        for curve in few["val/psnr_db"].values():
            assert f"{curve.mean[0]:.2f}" in text
    assert list(drawings(comparison)["curves"])  # with all its points


def test_bands_of_what_is_never_negative_end_at_zero() -> None:
    runs = [History({"val/x": {0: 0.0, 9: value}, PATTERN.key: {0: 1e-6, 9: value}}, None) for value in (0.1, 0.2, 3.0)]
    plainly = Metric("test/x", "x", "", False, 2, 0.1)
    curve = curve_of(runs, plainly, 0.95)
    assert curve is not None
    assert curve.low == (0, 0)
    assert curve.mean[1] == pytest.approx(1.1)
    skewed = curve_of(runs, PATTERN, 0.95)
    assert skewed is not None
    assert skewed.mean == pytest.approx((1e-6, (0.1 * 0.2 * 3) ** (1 / 3)))
    assert all(low > 0 for low in skewed.low)
    below = curve_of([History({"val/x": {0: value}}, None) for value in (-1.0, 1.0)], plainly, 0.95)
    assert below is not None
    assert below.low[0] < 0


@pytest.mark.parametrize(
    "values", [(0.0, 0.4), (0.0, 1e-7, 0.2, 12.0), (0.02, 0.03), (0.0, 0.0), (0.5, 250.0), (0.4, 0.4)]
)
@pytest.mark.parametrize("width_in", [0.4 * WIDE_IN, 0.9 * NARROW_IN])  # what is left for it in the figures
def test_an_axis_with_zeros_and_tiny_values_has_a_band_for_none(values: tuple[float, ...], width_in: float) -> None:
    axes = new_figure(width_in, 3).add_subplot()
    place = artifact_axis(axes, "x", PATTERN, values)
    assert place is not None
    low, high = axes.get_xlim()
    words = [word.get_text() for word in axes.get_xticklabels()]
    assert ("none\n< 0.01" in words) == (min(values) < 0.01)
    places = [place(value) for value in values]
    assert all(low < x < high for x in places)
    assert all((x < 0.01) == (value < 0.01) for x, value in zip(places, values, strict=True))
    assert len({x for x, value in zip(places, values, strict=True) if value < 0.01}) <= 1
    axes.tick_params(labelsize=SMALL_PT)
    axes.figure.canvas.draw()
    boxes = [word.get_window_extent() for word in axes.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))  # words do not touch


@pytest.mark.parametrize("low", [1e-7, 1.9e-4, 0.013, 0.4, 3.0, 250.0])
@pytest.mark.parametrize("span", [1.5, 3, 20, 90, 1e4, 1e7])
def test_ticks_of_a_logarithmic_axis_are_few_and_round(low: float, span: float) -> None:
    ticks = log_ticks(low, low * span)
    assert ticks
    assert all(low <= tick <= low * span for tick in ticks)
    assert sum(len(f"{tick:g}") + 2 for tick in ticks) <= 34


# ----------------------------------------------------------------------------------------------------------- passports


def test_a_passport_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = synthetic(tmp_path, USUAL[6:7], (0,), metrics=(PSNR,), images=False, curves=False)
    run = comparison.variants[0].runs[0]
    small = {**run.config, "model": {"widths": [2, 4], "scale": 2}}
    variant = dataclasses.replace(comparison.variants[0], runs=(dataclasses.replace(run, config=small),))
    comparison = dataclasses.replace(comparison, variants=(variant,))
    assert passport_cards(comparison, tmp_path, measure=False) == {}
    first = passport_cards(comparison, tmp_path, measure=True)
    assert first["nearest"].figures["DC-phase"] == "0.000"
    assert first["nearest"].png.startswith(b"\x89PNG")
    kept = sorted(path.suffix for path in (tmp_path / FOLDER).iterdir())
    assert kept == [".json", ".png"]
    monkeypatch.setitem(sys.modules, "upsample_lab.passport", None)  # now it cannot be measured again
    again = passport_cards(comparison, tmp_path, measure=True)
    assert again == first
    page = written(tmp_path, dataclasses.replace(comparison, experiment="kept"))
    assert 'id="passports"' not in page.page  # another folder, where nothing is kept: no section, and no link to one
    assert "#passports" not in page.page
    assert "## Passports" not in page.markdown
    write_report(comparison, tmp_path, passports=False)
    assert 'alt="Passport of nearest' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_is_no_upsampler_has_no_passport(tmp_path: Path) -> None:
    comparison = synthetic(tmp_path, USUAL[:1], (0,), metrics=(PSNR,), images=False)
    run = comparison.variants[0].runs[0]
    for config in ({}, {**run.config, "model": {"widths": []}}, {**run.config, "upsample": {"name": "gone"}}):
        variant = dataclasses.replace(comparison.variants[0], runs=(dataclasses.replace(run, config=config),))
        cards: dict[str, Card] = passport_cards(dataclasses.replace(comparison, variants=(variant,)), tmp_path, True)
        assert cards == {}
