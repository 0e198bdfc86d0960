"""Table, JSON, figure and page: complete, strict, safe, and without global state."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from torch import nn

import upsample_lab.passport
from upsample_lab.drawing.palette import LOOKS, SOLID, Look, look_of
from upsample_lab.drawing.passport import comparison_figure, panel_drawings
from upsample_lab.drawing.passport_panels import draw_kernel
from upsample_lab.drawing.style import new_figure, png
from upsample_lab.passport import Passport, passport
from upsample_lab.passport.record import DB_CEILING, decibels, plain
from upsample_lab.passport.table import WIDTH, comparison, size
from upsample_lab.report.passport_page import comparison_page, page
from upsample_lab.upsamplers import UPSAMPLERS

from .modules import decoder, seeded

NASTY = "<script>alert(\"1\")</script> & 'co'"


@pytest.fixture(scope="module")
def single() -> Passport:
    return passport(seeded(lambda: nn.ConvTranspose2d(4, 4, 3, 2, 1, 1)), 4, 2, size=16, name=NASTY)


@pytest.fixture(scope="module")
def composed() -> Passport:
    return passport(seeded(lambda: decoder(2, 4)), 4, 4, size=16, cost=False)


def test_table_fits_the_width(single: Passport, composed: Passport) -> None:
    for p in (single, composed):
        assert max(map(len, p.table().splitlines())) <= WIDTH
    assert "DC-phase variation" in single.table()
    assert "float32 channels_last" in single.table()
    assert "stage 0 (x2): period 4 px" in composed.table()


def test_json_is_strict_and_complete(single: Passport) -> None:
    loaded = json.loads(single.to_json(), parse_constant=lambda word: pytest.fail(f"{word} in JSON"))
    assert list(loaded) == [item.name for item in dataclasses.fields(single)]
    assert loaded["gains"]["dc_phase_variation"] == single.gains.dc_phase_variation
    np.testing.assert_allclose(loaded["impulse"]["kernel"], single.impulse.kernel, rtol=1e-5)
    assert [finding["code"] for finding in loaded["findings"]] == [finding.code for finding in single.findings]


def test_json_turns_what_is_undefined_into_null() -> None:
    assert plain({"a": float("nan"), "b": (float("inf"), 1.0), "c": np.array([np.nan, 2.0])}) == {
        "a": None,
        "b": [None, 1.0],
        "c": [None, 2.0],
    }


def test_a_passport_cannot_be_changed(single: Passport) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        single.subject.name = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        single.gains.gain[0] = 1


@pytest.mark.run
def test_figures_leave_no_global_state(single: Passport, composed: Passport) -> None:
    backend, settings = matplotlib.get_backend(), dict(matplotlib.rcParams)
    images = [png(single.figure()), png(composed.figure()), png(comparison_figure([single, single]))]
    assert all(image.startswith(b"\x89PNG") for image in images)
    assert dict(matplotlib.rcParams) == settings
    assert matplotlib.get_backend() == backend


def test_figures_are_repeatable(composed: Passport) -> None:
    def picture() -> bytes:
        figure = new_figure(3, 3)
        draw_kernel(figure.add_subplot(), composed)
        return png(figure)

    assert picture() == picture()


def test_figures_do_without_pyplot() -> None:
    sources = Path(upsample_lab.passport.__file__).parent.glob("*.py")
    assert not [path.name for path in sources if "pyplot" in path.read_text(encoding="utf-8")]


def test_every_panel_is_labelled(single: Passport, composed: Passport) -> None:
    for p in (single, composed):
        for axes in p.figure().axes[1:]:  # the first is the heading
            is_colorbar = axes.get_label() == "<colorbar>"
            assert is_colorbar or axes.get_title(loc="left").strip()
            assert axes.get_xlabel() or axes.get_ylabel()
    assert len(panel_drawings(composed)) == len(panel_drawings(single)), "stages in the one, cost in the other"


class _Audit(HTMLParser):
    """Collects the tags of a page and whatever it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for key, value in attrs if key in ("src", "href")]


def test_pages_are_self_contained_and_escape_names(single: Passport, composed: Passport) -> None:
    for html in (
        page(single, f"python scripts/passport.py {NASTY}"),
        comparison_page([single, composed], b"\x89PNG", NASTY),
    ):
        audit = _Audit()
        audit.feed(html)
        assert "script" not in audit.tags
        assert audit.fetched
        assert all(address.startswith("data:image/png;base64,") for address in audit.fetched)
        assert NASTY not in html
        assert "&lt;script&gt;" in html


def test_comparison_lists_everybody(single: Passport, composed: Passport) -> None:
    text = comparison([single, composed])
    assert NASTY in text
    assert "stride-does-not-divide-kernel" in text


@pytest.mark.parametrize(
    ("power", "reference", "expected"),
    [(1, 1, 0), (10, 1, 10), (0, 1, -DB_CEILING), (1, 0, DB_CEILING), (1e-30, 1, -DB_CEILING), (0, 0, DB_CEILING)],
)
def test_decibels_stay_finite(power: float, reference: float, expected: float) -> None:
    assert decibels(power, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**40, "1024.0 GiB")]
)
def test_sizes_in_words(count: int | None, text: str) -> None:
    assert size(count) == text


# ----------------------------------------------------------------------------------------------------------------------
# Colours


def test_every_upsampler_has_a_look() -> None:
    assert set(UPSAMPLERS) <= set(LOOKS)


def test_no_two_looks_are_alike() -> None:
    """Each pair differs in dash or marker, so that it can be told apart without any colour."""
    assert len({(str(look.dash), look.marker) for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.color for look in LOOKS.values()}) == len(LOOKS)


def test_others_have_a_look_of_their_own_that_follows_from_their_name() -> None:
    others = [look_of(f"layer_{number}") for number in range(400)]
    assert look_of("my_layer") == Look("#7c58b3", SOLID, "h")  # the same in every report, on every machine
    assert len(set(others)) > 300
    assert not {(str(look.dash), look.marker) for look in others} & {
        (str(look.dash), look.marker) for look in LOOKS.values()
    }
    color = pytest.importorskip("skimage.color")

    def lab(looks: Iterable[Look]) -> np.ndarray:
        colors = sorted({look.color for look in looks})
        return color.rgb2lab(np.array([[int(each[i : i + 2], 16) / 255 for i in (1, 3, 5)] for each in colors]))

    own, theirs = lab(LOOKS.values()), lab(others)
    assert np.linalg.norm(theirs[:, None] - own[None], axis=-1).min() > 12
    assert len(theirs) == 24
    assert np.linalg.norm(theirs[:, None] - theirs[None], axis=-1)[np.triu_indices(24, 1)].min() > 7
    assert theirs[:, 0].max() < 65, "too light for a thin line on white"


# Severe deuteranopia, protanopia and tritanopia: Machado, Oliveira and Fernandes 2009, table 1, linear RGB.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_of_the_three_that_are_compared_most_stay_apart(kind: str) -> None:
    """In CIELAB a difference of 20 is far beyond what is just noticed (about 2)."""
    color = pytest.importorskip("skimage.color")
    names = ("deconv", "nearest", "bilinear", "pixel_shuffle")
    rgb = np.array([[int(LOOKS[name].color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for name in names])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(BLINDNESS[kind]).T, 0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = color.rgb2lab(encoded[None])[0]
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(names), 1)]
    assert distances.min() > 20
