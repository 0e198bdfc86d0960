"""A report does not contradict itself: sentences, tables and figures of whole comparisons are read for agreement."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.compare.synthetic import report_of
from upsample_lab.benchmark.synthetic_runs import write_experiment
from upsample_lab.catalogue import ARTIFACT, Metric, is_none, metric_of
from upsample_lab.compare.collect import compare
from upsample_lab.compare.result import Comparison
from upsample_lab.compare.words import ranks_of, results_table, standing
from upsample_lab.compose import compose_one
from upsample_lab.config import TrainConfig
from upsample_lab.drawing.comparison import forest_pairs
from upsample_lab.options.compare import CompareConfig

NAMES = ("deconv", "nearest", "bilinear", "bicubic", "pixel_shuffle")
RESIZES = ("nearest", "bilinear", "bicubic")
Levels = Callable[[str, int, np.random.Generator], float | None]


def rounding(name: str, seed: int, random: np.random.Generator) -> float:
    """Resizes leave none: exactly zero in even seeds, rounding in the others."""
    if name in RESIZES:
        return 0.0 if seed % 2 == 0 else 1e-6 * random.random()
    return 2.0 * float(np.exp(0.2 * random.standard_normal()))


# name: seeds, levels of the pattern, PSNR
CASES: dict[str, tuple[int, Levels, Callable[[str, int, np.random.Generator], float]]] = {
    "zeros": (5, rounding, lambda n, s, r: 28 + NAMES.index(n) / 3 + 0.05 * r.standard_normal()),
    "zeros, three seeds": (3, rounding, lambda n, s, r: 28 + 0.05 * r.standard_normal()),
    "ties": (5, lambda n, s, r: 1 + 0.2 * r.random(), lambda n, s, r: 28 + r.standard_normal()),
    "one seed": (1, rounding, lambda n, s, r: 28 + r.standard_normal()),
    "identical runs": (5, lambda n, s, r: 1.5, lambda n, s, r: 28.0 + s),
    "identical runs, one seed": (1, lambda n, s, r: 1.5, lambda n, s, r: 28.0),
    "all none": (5, lambda n, s, r: 1e-6 * r.random(), lambda n, s, r: 28 + 0.1 * r.standard_normal()),
    "only sometimes": (
        5, lambda n, s, r: 0.0 if n in RESIZES or (n == "deconv" and s < 2) else 1.0 + r.random(),
        lambda n, s, r: 28 + 0.1 * r.standard_normal(),
    ),
    "a figure is missing": (
        5, lambda n, s, r: None if n == "bicubic" else rounding(n, s, r),
        lambda n, s, r: 28 + 0.1 * r.standard_normal(),
    ),
    "none in some runs": (
        5, lambda n, s, r: 0.0 if n in ("bicubic", "bilinear") or (n == "nearest" and s == 1)
        else (0.25 if n == "nearest" else 1.2) * float(np.exp(0.15 * r.standard_normal())),
        lambda n, s, r: 28 + 0.1 * r.standard_normal(),
    ),
    "negative decibels": (5, rounding, lambda n, s, r: -3 - NAMES.index(n) + 0.1 * r.standard_normal()),
}  # fmt: skip
PRIMARIES = ("test/psnr_db", ARTIFACT)


def comparison_of(root: Path, case: str, *words: str) -> Comparison:
    count, levels, quality = CASES[case]

    def figures(config: TrainConfig, random: np.random.Generator) -> dict[str, float]:
        name, seed = config.upsample.name, config.seed
        psnr, level = quality(name, seed, random), levels(name, seed, random)
        found = {"test/psnr_db": psnr, "test/ssim": 0.9, "test/flat_pattern_rms_levels": 0.2 + 0.01 * random.random()}
        found["test/line_p2_db"] = -4 + random.standard_normal()
        return found if level is None else {**found, ARTIFACT: level}

    write_experiment(root, "study", [["data=glyphs", f"upsample={name}"] for name in NAMES], range(count), figures, 4)
    config = compose_one("compare", ["experiment=study", f"output_root={root}", "latency=false", *words])
    assert isinstance(config, CompareConfig)
    return compare(config, "python scripts/compare.py")


def agree(found: Comparison, metric: Metric) -> None:
    """What each pair, rank, standing and cell says of one metric."""
    estimates, ranks, seeds = found.estimates[metric.key], ranks_of(found, metric), len(found.seeds)
    floor = metric.none_below
    drawn = {frozenset((pair.first, pair.second)): pair for pair in forest_pairs(found, metric)}
    columns, rows = results_table(found)
    place = [column.title for column in columns].index(metric.title)
    cells = {variant.name: row[place] for variant, row in zip(found.variants, rows, strict=True)}
    for name, estimate in estimates.items():
        none = is_none(metric, estimate.mean)
        assert none == (floor is not None and max(estimate.values.values()) < floor), "all runs, or it is not none"
        assert (cells[name].text == "none") == none
        if none:
            assert ranks[name] == 1
    for name, rank in ranks.items():
        assert rank == 1 + sum(other < rank for other in ranks.values()), "ranks are shared, and then skip"
        if rank == 1 and seeds > 1:
            assert standing(found, metric, name) == "best"
    for pair in found.differences[metric.key]:
        one, other = (np.array(list(estimates[name].values.values())) for name in (pair.first, pair.second))
        apart = one.min() > other.max() or other.min() > one.max()
        whole = floor is not None and apart and min(one.max(), other.max()) < floor <= max(one.min(), other.min())
        assert whole == pair.whole
        nothing = "No difference" in pair.verdict
        assert not (nothing and (pair.told_apart or whole)), pair.verdict
        if nothing and apart and seeds > 2:
            assert "though every run of" in pair.verdict, "a reader of the plot sees that they do not overlap"
        if pair.kind != "tested":
            assert frozenset((pair.first, pair.second)) not in drawn, "no interval is drawn of what was not tested"
            assert math.isnan(pair.mean)
        else:
            assert not nothing or not pair.shown
            assert pair.shown or " better " not in pair.verdict.replace(" is better than any of ", " ")
        if pair.kind == "neither":
            assert ranks[pair.first] == ranks[pair.second] == 1
        if np.array_equal(one, other) and seeds > 1 and pair.kind == "tested":
            assert "the same" in pair.verdict
            assert ranks[pair.first] == ranks[pair.second]
        if whole:
            assert f"{min(pair.p_value, 1):.6f}" == f"{2 / math.comb(2 * seeds, seeds):.6f}"
            assert "with none" in pair.verdict
            worse = pair.first if one.min() > other.max() else pair.second
            assert ranks[worse] > 1
            assert standing(found, metric, worse) == ""
        if pair.shown and pair.kind == "tested":
            better = pair.first if (pair.mean > (1 if pair.is_ratio else 0)) == metric.higher_is_better else pair.second
            assert ranks[better] < ranks[pair.second if better == pair.first else pair.first]
            assert pair.verdict.startswith(better) == (not pair.is_ratio or metric.higher_is_better)
    tied = {name for name in estimates if standing(found, metric, name) == "tied"}
    best = found.rankings[metric.key].order[0]
    with_best = {d.first if d.second == best else d.second: d for d in found.differences[metric.key]
                 if best in (d.first, d.second)}  # fmt: skip
    assert set(with_best) == set(estimates) - {best}, "the best is compared with every other"
    if seeds > 1:
        assert tied == {name for name, pair in with_best.items() if not pair.told_apart and pair.kind != "neither"
                        and ranks[name] > 1}  # fmt: skip


def agree_in_sentences(found: Comparison) -> None:
    """What the first two sentences of the verdict say, against ranks and standing."""
    primary = found.metrics[0]
    quality, seeds = found.verdict[0], len(found.seeds)
    best = found.rankings[primary.key].order[0]
    assert quality.startswith(f"{best} has the ")
    named_tied = re.search(r"no difference from (.+?) is shown", quality)
    tied = [v.name for v in found.variants if standing(found, primary, v.name) == "tied"]
    if named_tied and seeds > 1:
        assert set(tied) >= {name for name in NAMES if re.search(rf"\b{name}\b", named_tied[1])}
    shared = [name for name, rank in ranks_of(found, primary).items() if rank == 1 and name != best]
    if shared and seeds > 1:
        assert all(name in quality for name in shared)
    elif not tied and seeds > 1 and "in some runs alone" not in quality:
        assert named_tied is None
        assert "than every other" in quality
    pattern = metric_of(ARTIFACT)
    if primary.key == ARTIFACT or ARTIFACT not in found.estimates:
        return
    estimates = found.estimates[ARTIFACT]
    none = {name for name in estimates if is_none(pattern, estimates[name].mean)}
    sentence = found.verdict[1]
    if none == set(estimates):
        assert sentence.startswith("No variant has a pattern")
    elif none:
        before = sentence.partition(" no pattern")[0]
        assert {name for name in NAMES if re.search(rf"\b{name}\b", before)} == none
    else:
        assert " no pattern" not in sentence


@pytest.mark.run
@pytest.mark.parametrize("primary", PRIMARIES)
@pytest.mark.parametrize("case", CASES)
def test_sentences_tables_and_figures_agree(case: str, primary: str, tmp_path: Path) -> None:
    if case == "a figure is missing" and primary == ARTIFACT:
        pytest.skip("the primary metric must be there: a refusal of its own")
    metrics = f"metrics=[test/psnr_db,{ARTIFACT},test/ssim,test/line_p2_db]"
    found = comparison_of(tmp_path, case, f"primary={primary}", metrics)
    for metric in found.metrics:
        agree(found, metric)
    agree_in_sentences(found)


@pytest.mark.run
@pytest.mark.parametrize("case", ["zeros", "one seed", "all none", "a figure is missing"])
def test_page_and_markdown_say_what_was_found(case: str, tmp_path: Path) -> None:
    found = comparison_of(tmp_path, case)
    markdown, page = report_of(found, tmp_path / "report")
    plain = " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())
    text = " ".join(re.sub(r"\\([\\`*_{}\[\]<>#|~$!&])", r"\1", markdown).split())
    for sentence in (*found.verdict, *(d.verdict for every in found.differences.values() for d in every)):
        assert " ".join(sentence.split()) in plain
        assert " ".join(sentence.split()) in text
    for written in (plain, text):
        assert not re.search(r"\bnan\b|\binf\b", written.partition("{")[0])
    anchors = set(re.findall(r'id="([\w-]+)"', page))
    assert set(re.findall(r'href="#([\w-]+)"', page)) <= anchors, "no link to a section that is absent"
