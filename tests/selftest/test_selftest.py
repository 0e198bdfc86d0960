"""Every metric finds what it claims, at the amplitude it claims, on real images, and is silent on clean ones.

The synthetic images are always tested; the real ones where UPSAMPLE_LAB_DATA names a folder that holds them.
"""

import os
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from upsample_lab.metrics import line_energy_db, phase_variance
from upsample_lab.selftest.carriers import CARRIERS, IMAGE_COUNT
from upsample_lab.selftest.false_alarms import (
    LEVELS,
    NULL_CASES,
    PATTERN_CASES,
    Case,
    rejection_table,
    rejections,
)
from upsample_lab.selftest.probes import AMPLITUDES, PROBES, SET_SIZE, checkerboard, detection_limit, readings
from upsample_lab.selftest.recovery import FIGURES, broken_recoveries, claimed, recovered_from
from upsample_lab.selftest.report import broken_claims, claims_table, luma_and_chroma

DOCS = Path(__file__).resolve().parents[2] / "docs"
SETS_TESTED = 2  # of the four that the script measures
CASES = [
    pytest.param(carrier, name, period, id=f"{carrier}-{name}-p{period}")
    for carrier in CARRIERS
    for name, probe in PROBES.items()
    for period in probe.periods
]


@cache
def carrier_images(carrier: str) -> torch.Tensor:
    root = Path(os.environ.get("UPSAMPLE_LAB_DATA", "data"))
    try:
        return CARRIERS[carrier](root)
    except FileNotFoundError as error:
        pytest.skip(f"{error}; the synthetic images are tested instead")


@pytest.mark.parametrize(("carrier", "name", "period"), CASES)
def test_finds_what_it_claims_and_is_silent_on_clean_images(carrier: str, name: str, period: int) -> None:
    images = carrier_images(carrier)[: SETS_TESTED * SET_SIZE]
    probe = PROBES[name]
    for orientation, claim in zip(probe.orientations, probe.claims[carrier][period], strict=True):
        clean = readings(probe, images, period, orientation, 0.0)
        if not probe.relative:
            assert max(clean) < probe.threshold
        if claim is not None:
            found = readings(probe, images, period, orientation, claim)
            base = clean if probe.relative else [0.0] * len(clean)
            assert all(value > probe.threshold + b for value, b in zip(found, base, strict=True)), orientation


def test_synthetic_images_are_what_they_say() -> None:
    images = carrier_images("synthetic")
    assert images.shape == (IMAGE_COUNT, 1, 32, 32)
    assert images.std().item() == pytest.approx(0.2, abs=0.01)


def test_every_claim_is_at_a_measured_amplitude() -> None:
    for probe in PROBES.values():
        assert set(probe.claims) == set(CARRIERS)
        for periods in probe.claims.values():
            assert tuple(periods) == probe.periods
            for levels in periods.values():
                assert len(levels) == len(probe.orientations)
                assert set(levels) <= {None, *AMPLITUDES}


def test_the_documented_table_is_the_one_that_is_tested() -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert claims_table() in page, "docs/metrics.md is stale: run python scripts/metrics_selftest.py"


def published(first_column: str, cases: tuple[Case, ...]) -> dict[Case, list[float]]:
    """The shares of the table on the page, which must be the one that the command would write with these shares."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    start = page.index(rejection_table(first_column, {}))
    lines = page[start:].split("\n")[2 : 2 + len(cases)]
    shares = {case: [float(cell) for cell in line.split("|")[4:-1]] for case, line in zip(cases, lines, strict=True)}
    assert rejection_table(first_column, shares) in page, "stale: run python scripts/metrics_selftest.py --p-values"
    return shares


def test_the_published_p_values_are_small_no_more_often_than_they_say() -> None:
    for case, shares in published("without a pattern", NULL_CASES).items():
        for level, share in zip(LEVELS, shares, strict=True):
            assert share <= level + 3 * (level * (1 - level) / 10_000) ** 0.5, case


@pytest.mark.run
@pytest.mark.parametrize("case", [case for case in NULL_CASES if case.image_count == 64], ids=str)
def test_the_published_p_values_are_what_is_measured(case: Case) -> None:
    set_count = 150
    try:
        measured = rejections(case, Path(os.environ.get("UPSAMPLE_LAB_DATA", "data")), set_count)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    for share, again in zip(published("without a pattern", NULL_CASES)[case], measured, strict=True):
        assert again <= share + 5 * (max(share, 1e-3) / set_count) ** 0.5


@pytest.mark.run
def test_the_published_power_is_what_is_measured() -> None:
    for case, shares in published("pattern", PATTERN_CASES).items():
        try:
            measured = rejections(case, Path(os.environ.get("UPSAMPLE_LAB_DATA", "data")), 40)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        assert measured == pytest.approx(shares, abs=0.35), case


@pytest.mark.parametrize(
    ("readings_by_amplitude", "limit"),
    [([9] * 7, 0.25), ([0] * 7, None), ([0, 0, 0, 9, 9, 9, 9], 2.0), ([9, 9, 9, 9, 0, 9, 9], 8.0)],
    ids=["all", "none", "from 2", "a gap"],
)
def test_the_limit_is_the_least_from_which_on_all_is_found(readings_by_amplitude: list, limit: float | None) -> None:
    curve = [[0.0], *([float(value)] for value in readings_by_amplitude)]
    assert detection_limit(PROBES["line_energy_db"], curve) == limit


def test_the_report_names_a_broken_claim_and_a_false_alarm() -> None:
    deaf = {("synthetic", "line_energy_db", 2, "diagonal"): [[0.0]] * 8}
    nervous = {("synthetic", "line_energy_db", 2, "diagonal"): [[9.0]] * 8}
    assert broken_claims(deaf) == [
        "line_energy_db, synthetic, period 2, diagonal: claims 2 grey levels, not found at all"
    ]
    assert "fires on clean images (reads 9 over 3)" in broken_claims(nervous)[0]


def test_patterns_are_balanced_and_of_their_period() -> None:
    for period in (2, 4, 8):
        for orientation in ("horizontal", "vertical", "diagonal"):
            pattern = checkerboard(period, orientation, 24, 32)
            assert pattern.abs().min() == 1
            assert pattern.mean() == 0
            assert torch.equal(pattern[:-period, :-period], pattern[period:, period:])


def test_jpeg_s_subsampled_chroma_is_found_and_its_luma_is_clean() -> None:
    planes = luma_and_chroma(carrier_images("cifar10_jpeg"))
    lines = {name: line_energy_db(plane, (2,))[2]["horizontal"] for name, plane in planes.items()}
    assert lines["Y"] < 0
    assert min(lines["Cb"], lines["Cr"]) > 3
    residuals = {n: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - x for n, x in planes.items()}
    ratios = {name: phase_variance(residual, 2).ratio for name, residual in residuals.items()}
    assert ratios["Y"] < 1e-4 < 1e-3 < min(ratios["Cb"], ratios["Cr"])


@pytest.mark.parametrize("carrier", CARRIERS)
def test_figures_in_grey_levels_are_the_amplitude_that_was_injected(carrier: str) -> None:
    images = carrier_images(carrier)[:SET_SIZE]
    found = {(name, carrier, 4): recovered_from(name, images, 4) for name in FIGURES}
    assert broken_recoveries(found) == []


def test_the_documented_recoveries_are_those_that_are_claimed() -> None:
    """Each cell of the table is at most the claim, and the tests above hold the claims."""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    rows = page.split("<!-- recovery: begin -->")[1].split("<!-- recovery: end -->")[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [(name, int(period)) for name, _, period, *_ in cells] == [(f"`{n}`", p) for n in FIGURES for p in (2, 4, 8)]
    for name, shown, period, *limits in cells:
        assert shown == FIGURES[name.strip("`")][1]
        for carrier, limit in zip(CARRIERS, limits, strict=True):
            assert limit == "no flat window" or float(limit) <= claimed(name, carrier, int(period))
