"""What `scan` finds in images, what it leaves alone, and where it says that a pattern comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import load_script
from upsample_lab.cli.app import run
from upsample_lab.doctor import scan
from upsample_lab.doctor.periodic import fits, lines_of, spectrum_of, summed
from upsample_lab.doctor.scan_selftest import as_jpeg, found, pattern, photographs, with_pattern
from upsample_lab.doctor.scanning import JPEG_BLOCKS, LAYER, PERIODS, planes_of, scanned
from upsample_lab.settings import ConfigError

DATA = Path(os.environ.get("UPSAMPLE_LAB_DATA", "data")) / "superres"
DOCS = Path(__file__).parents[2] / "docs" / "scan.md"


def picture(seed: int, side: int = 160, colours: bool = True) -> np.ndarray:
    """Something like a photograph: brightness of falling spectrum, duller colours, calm and busy parts."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :]) + 1 / side
    planes = []
    for strength in (1.0, 0.3, 0.3):
        noise = np.fft.fft2(random.standard_normal((side, side))) / frequency**1.4
        smooth = np.fft.ifft2(noise).real
        planes.append(strength * 35 * smooth / smooth.std())
    luma, blue, red = planes
    channels = [luma + red, luma, luma + blue] if colours else [luma]
    levels = np.clip(np.rint(128 + np.stack(channels, -1)), 0, 255).astype(np.uint8)
    return levels if colours else levels[..., 0]


def save(folder: Path, images: list[np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


@pytest.mark.parametrize("period", [2, 3, 4, 6, 8])
def test_a_line_is_the_weighted_sum_over_the_image(period: int) -> None:
    plane = planes_of(picture(0, side=96))["brightness"]
    spectrum = spectrum_of(plane, period)
    flat = spectrum_of(np.full_like(plane, 7.0), period)
    assert flat.rms_levels == pytest.approx(0, abs=1e-9)
    rows, columns = np.indices(plane.shape)
    random = np.random.default_rng(0)
    for amplitude, (k, m) in zip(spectrum.amplitudes, lines_of(period), strict=True):
        added = 3 * np.cos(2 * np.pi * (k * rows + m * columns) / period + random.random())
        with_line = spectrum_of(np.full_like(plane, 100.0) + added, period)
        assert with_line.rms_levels == pytest.approx(
            np.sqrt((added**2).mean()), rel=0.06
        )  # the local mean reaches over borders
        assert np.isfinite(amplitude)


def test_the_lines_of_all_divisors_are_all_lines_once() -> None:
    for period in range(2, 17):
        of_divisors = [line for d in range(2, period + 1) if period % d == 0 for line in lines_of(d)]
        mirrored = sum(2 - (2 * k % d == 0 and 2 * m % d == 0) for d in range(2, period + 1) if period % d == 0
                       for k, m in lines_of(d))  # fmt: skip
        assert mirrored == period**2 - 1
        assert len(of_divisors) <= mirrored


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("colours", [True, False])
def test_an_injected_pattern_is_found_with_its_strength(period: int, colours: bool) -> None:
    image = picture(1, colours=colours)
    assert not found(scanned("", image))
    tile = pattern(period, np.random.default_rng(period))
    for levels in (1.5, 4.0):
        changed = with_pattern(image, tile, levels)
        seen, added = scanned("", changed), changed.astype(float) - image  # rounded: not quite what was asked for
        (only,) = [p for p in seen.patterns if p.plane == "brightness"]
        assert (only.period, only.cause) == (period, LAYER)
        assert only.rms_levels == pytest.approx(added.std(), rel=0.06)


def test_a_pattern_of_the_colours_alone_is_found() -> None:
    tile = pattern(4, np.random.default_rng(0))
    image = picture(2).astype(float)
    image[..., 0] += 5 * np.tile(tile, (40, 40))
    image[..., 2] -= 5 * np.tile(tile, (40, 40)) * 0.299 / 0.114  # equal brightness
    seen = scanned("", np.clip(np.rint(image), 0, 255).astype(np.uint8))
    assert {p.plane for p in seen.patterns} == {"blue - yellow", "red - cyan"}


def test_a_fence_in_one_corner_is_what_the_image_shows() -> None:
    image = picture(3).astype(float)
    image[:60, :60] += 12 * np.tile(pattern(4, np.random.default_rng(0)), (15, 15))[..., None]
    assert not found(scanned("", np.clip(np.rint(image), 0, 255).astype(np.uint8)))


def test_blocks_and_halved_colours_are_told_to_be_jpegs() -> None:
    for seed in range(4):
        image = picture(seed, side=192)
        plain, compressed = scanned("", image), scanned("", as_jpeg(image, 30))
        assert not plain.jpeg_blocks
        assert compressed.jpeg_blocks
        assert compressed.halved_colours
        assert all(p.cause == JPEG_BLOCKS for p in compressed.patterns)
    strong = with_pattern(picture(0, side=192), pattern(8, np.random.default_rng(1)), 4.0)
    both = scanned("", as_jpeg(strong, 50))
    assert both.jpeg_blocks
    assert found(both, 8), "a layer's pattern is no less a layer's after JPEG"


def test_what_all_images_have_in_step_is_found_though_none_shows_it(tmp_path: Path) -> None:
    tile = pattern(4, np.random.default_rng(5))
    images = [with_pattern(picture(seed), tile, 0.4) for seed in range(24)]
    seen = scan(save(tmp_path / "in", images), search=False)
    assert [(p.period, p.plane, p.cause) for p in seen.common] == [(4, "brightness", LAYER)]
    assert seen.common[0].rms_levels == pytest.approx(0.4, rel=0.25)
    assert len(seen.flagged) < 24
    assert not scan(save(tmp_path / "clean", [picture(seed) for seed in range(24)]), search=False).common


def test_summing_is_weighted_by_what_each_image_can_tell() -> None:
    calm, busy = (planes_of(image)["brightness"] for image in (picture(1), np.clip(picture(2) * 3.0 - 256, 0, 255)))
    one, other = spectrum_of(calm, 2), spectrum_of(busy, 2)
    together = summed([one, other])
    assert together.weight == one.weight + other.weight
    expected = (one.weight * one.amplitudes + other.weight * other.amplitudes) / together.weight
    np.testing.assert_allclose(together.amplitudes, expected)


def test_images_too_small_are_said_to_be_nothing(tmp_path: Path) -> None:
    assert not fits((20, 200), 2)
    seen = scan(save(tmp_path / "in", [picture(0, side=24), picture(0)[:30]]))
    assert all(not image.patterns for image in seen.images)


def test_the_command_tells_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tile = pattern(2, np.random.default_rng(0))
    folder = save(tmp_path / "in", [*(with_pattern(picture(seed), tile, 3.0) for seed in range(3)), picture(9)])
    (folder / "broken.png").write_bytes(b"nothing")
    out = tmp_path / "out"
    assert run("scan", [str(folder), "--no-search", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "Period 2 (one stage of scale 2): in 3 of 4 images" in text
    assert "broken.png: not an image of a known format" in text
    written = json.loads((out / "scan.json").read_text())
    assert (written["images"], written["flagged"]) == (4, 3)
    with Image.open(out / "scan.png") as drawn:
        assert drawn.format == "PNG"
    assert run("scan", [str(save(tmp_path / "clean", [picture(1)])), "--no-search", "--out", str(tmp_path / "o")]) == 0
    assert "Nothing repeats" in capsys.readouterr().out
    assert not (tmp_path / "o" / "scan.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        ([__file__], "is not a folder"),
        ([".", "--periods", "1"], "periods: 1 must be from 2 to 16 pixels"),
        (["."], "no images in it"),
        ([], "folder"),
        ([".", "--periods", "x"], "invalid int value"),
    ],
)
def test_mistakes_end_in_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = run("scan", words)
    except SystemExit as stop:  # as argparse ends
        status = int(stop.code or 0)
    assert status == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_periods_are_checked_from_python_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="17 must be from 2 to 16"):
        scan(save(tmp_path / "in", [picture(0)]), periods=(17,))


# ----------------------------------------------------------------------------------------------------------------------
# On photographs


@pytest.mark.run
@pytest.mark.skipif(not DATA.is_dir(), reason="needs superres/ in the data folder")
def test_photographs_are_clean_and_patterns_in_them_are_found() -> None:
    images = photographs([DATA / "T91", DATA / "B100"])
    assert sum(found(scanned("", image)) for image in images) <= 0.01 * len(images)
    random = np.random.default_rng(11)
    for period in PERIODS:
        for levels, least in ((1.0, 50), (2.0, 95)):
            changed = (with_pattern(image, pattern(period, random), levels) for image in images[-100:])
            assert sum(found(scanned("", image, periods=(period,)), period) for image in changed) >= least


def test_the_pages_table_holds_what_the_page_promises() -> None:
    script = load_script("scan_selftest")
    table = DOCS.read_text().split(script.BEGIN)[1].split(script.END)[0]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.strip().splitlines()[2:]]
    assert len(rows) == 5 + 9
    assert all(script.holds(row) for row in rows if row[2] != "2 to 16")
