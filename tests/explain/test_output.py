"""What is written: text, picture, animation and page say what the algebra says."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from upsample_lab.conv.arithmetic import conv_transpose_output_size, plan_sizes
from upsample_lab.explain.algebra import Derivation, Weight
from upsample_lab.explain.animation import write_animation
from upsample_lab.explain.page import derivation_page
from upsample_lab.explain.palette import weight_colour
from upsample_lab.explain.picture import draw_derivation
from upsample_lab.explain.plan import plan_text
from upsample_lab.explain.text import WIDTH, derivation_text

CASES = {
    "stride 1": Derivation(4, 3),
    "stride 2": Derivation(5, 3, 2),
    "padding": Derivation(5, 3, 1, 1),
    "output_padding": Derivation(6, 3, 2, 1),
    "cropped": Derivation(2, 2, 2, 2),
    "one pixel": Derivation(1, 1),
    "large": Derivation(8, 3, 1, 1),
}


@pytest.mark.parametrize("derivation", CASES.values(), ids=CASES.keys())
def test_text_holds_every_sum_and_fits_the_page(derivation: Derivation) -> None:
    text = derivation_text(derivation)
    assert max(map(len, text.splitlines())) <= WIDTH
    terms = re.findall(r"w[₀-₉]{2}y[₀-₉]+", text.split("\n3  ")[1].split("\n4  ")[0])
    expected = [str(term) for row in derivation.transposed for total in row for term in total.terms]
    assert sorted(terms) == sorted(expected)
    pixels = derivation.input_size**2
    assert f"{pixels} of {pixels} pixels are equal" in text


def test_text_of_the_matrix_is_aligned() -> None:
    lines = derivation_text(Derivation(4, 3)).splitlines()
    start = next(i for i, line in enumerate(lines) if "x₁  x₂" in line and "│" in line)
    bars = {tuple(i for i, char in enumerate(line) if char == "│") for line in lines[start : start + 5]}
    assert len(bars) == 1
    assert "".join(lines[start + 2].split()) == "y₁│·w₀₀w₀₁w₀₂│·w₁₀w₁₁w₁₂│·w₂₀w₂₁w₂₂│····│"


@pytest.mark.parametrize("kernel_size", range(1, 7))
def test_every_weight_has_its_own_colour_and_dark_text_is_readable_on_it(kernel_size: int) -> None:
    colours = [weight_colour(Weight(r, c), kernel_size) for r, c in itertools.product(range(kernel_size), repeat=2)]
    assert len(set(colours)) == kernel_size**2
    for colour in colours:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminance = sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        assert (luminance + 0.05) / (0.013 + 0.05) > 4.5  # WCAG's contrast with the ink #1b1f27


@pytest.mark.run
@pytest.mark.parametrize("name", ["stride 2", "one pixel", "cropped", "output_padding"])
def test_picture_stays_within_its_page_and_shows_every_product(name: str) -> None:
    derivation = CASES[name]
    figure = draw_derivation(derivation)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    shown = [text.get_text() for text in axes.texts]
    assert sum(r"\,y_" in text and text.startswith("$w_") for text in shown) == derivation.product_count
    for text in axes.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.y1, text


def test_picture_uses_one_colour_for_a_weight_everywhere() -> None:
    derivation = Derivation(4, 3)
    figure = draw_derivation(derivation)
    faces = [tuple(round(255 * channel) for channel in patch.get_facecolor()[:3]) for patch in figure.axes[0].patches]
    for weight in (weight for row in derivation.kernel for weight in row):
        colour = weight_colour(weight, 3)
        rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        # once in W and once in kernel', and for each of the four windows in C, in its transpose and in Z
        assert faces.count(rgb) == 2 + 3 * 4


@pytest.mark.run
def test_animation_has_a_frame_for_each_position(tmp_path: Path) -> None:
    derivation = Derivation(3, 2, 1, 0)
    path = tmp_path / "slide.gif"
    write_animation(derivation, path)
    with Image.open(path) as animation:
        assert animation.n_frames == 9
        assert animation.info["loop"] == 0
        assert animation.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        first = animation.convert("RGB").tobytes()
        animation.seek(8)
        assert animation.convert("RGB").tobytes() != first


class _Page(HTMLParser):
    """Checks nesting and collects what a page refers to."""

    VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.chips = 0
        self.in_image = False
        self.image_chips = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.references += [values[name] or "" for name in ("src", "href") if name in values]
        classes = (values.get("class") or "").split()
        if tag == "table":
            self.in_image = "image" in classes
        self.image_chips += self.in_image and "chip" in classes

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "table":
            self.in_image = False


@pytest.mark.parametrize("derivation", CASES.values(), ids=CASES.keys())
def test_page_is_one_well_formed_file_that_needs_nothing_else(derivation: Derivation) -> None:
    source = derivation_page(derivation)
    page = _Page()
    page.feed(source)
    assert page.open == []
    assert page.references == []
    assert "http" not in source
    assert "url(" not in source
    assert not re.search(r"\$[a-z]", source), "a placeholder was left unfilled"
    assert len(page.ids) == len(set(page.ids))
    assert page.image_chips == derivation.product_count


def test_plan_of_the_trap_names_it_and_its_fixes() -> None:
    text = plan_text(plan_sizes(28, 3))
    assert "28 → 14 → 7 → 4" in text
    assert "makes 4 → 8, not 7" in text.replace("\n", " ")
    assert "24 or 32 pixels" in text
    assert "stop after 2 stages, at 7×7" in text
    assert "padding=1 output_padding=0 for 4 → 7" in " ".join(text.split())
    assert text.count("uneven: the stride does not divide the kernel") == 6
    assert max(map(len, text.splitlines())) <= WIDTH


TRAPS = [(28, 3, 2, 3, 1), (28, 3, 2, 4, 1), (30, 2, 2, 5, 0), (9, 1, 8, 3, 1), (100, 4, 3, 3, 1), (7, 2, 2, 1, 0)]


@pytest.mark.parametrize("arguments", TRAPS, ids="-".join(["{0[0]}", "{0[1]}", "{0[2]}", "k{0[3]}", "p{0[4]}"]).format)
def test_fixes_of_a_plan_work(arguments: tuple[int, int, int, int, int]) -> None:
    image_size, stages, scale, kernel_size, padding = arguments
    plan = plan_sizes(*arguments)
    text = " ".join(plan_text(plan).split())
    if plan.encoder_divides:
        sizes = re.search(r"resize the image to ([\d or]+) pixels", text)
        assert sizes
        for size in map(int, sizes[1].split(" or ")):
            assert plan_sizes(size, stages, scale, kernel_size, padding).is_exact
        fewer = re.search(r"stop after (\d+) stage", text)
        if fewer:
            assert plan_sizes(image_size, int(fewer[1]), scale, kernel_size, padding).is_exact
    else:
        better = re.search(r"give the encoder padding (\d+)", text)
        assert better
        assert plan_sizes(scale**stages, stages, scale, kernel_size, int(better[1])).is_exact
    for undoing in re.findall(r"undo the rounding with (.*?)(?= \d\. | Transposed)", text):
        kernel = int(re.search(r"kernel_size=(\d+)", undoing)[1])
        reached = set()
        for p, q, steps in re.findall(r"padding=(\d+) output_padding=(\d+) for ([^;]*)", undoing):
            for small, large in re.findall(r"(\d+) → (\d+)", steps):
                assert conv_transpose_output_size(int(small), kernel, scale, int(p), 1, int(q)) == int(large)
                reached.add((int(small), int(large)))
        assert reached == {(stage.input_size, stage.output_size) for stage in plan.decoder}


@pytest.mark.parametrize(
    "plan",
    [plan_sizes(32, 3), plan_sizes(28, 2, 3), plan_sizes(5, 4, 2), plan_sizes(30, 2, 2, 5, 0), plan_sizes(9, 1, 8)],
    ids=lambda plan: f"{plan.image_size}-{plan.stage_count}-{plan.scale}",
)
def test_plan_lists_every_option(plan) -> None:  # type: ignore[no-untyped-def]
    text = plan_text(plan)
    assert ("The trap" in text) != plan.is_exact
    for option in plan.decoder[0].options:
        numbers = (option.kernel_size, option.stride, option.padding, option.output_padding)
        assert re.search(r"\n\s+" + r"\s+".join(map(str, numbers)) + r"\s", text)
