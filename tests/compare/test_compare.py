"""From run directories to a comparison: what is found, named, paired, refused, judged and written."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.names import QUALITY, TEST_METRICS, TRAIN_METRICS, VAL_METRICS
from upsample_lab.benchmark.synthetic_runs import COMMIT, write_experiment
from upsample_lab.catalogue import CATALOGUE, facts_of, metric_of
from upsample_lab.cli.app import run as run_command
from upsample_lab.compare.collect import compare
from upsample_lab.compare.output import print_comparison, write_tables
from upsample_lab.compare.provenance import provenance_of
from upsample_lab.compare.refusals import changed_between, code_difference
from upsample_lab.compare.result import Comparison, Difference, Run
from upsample_lab.compare.variants import Group, group_runs
from upsample_lab.compare.verdicts import difference_verdict
from upsample_lab.compare.words import ranks_of, standing
from upsample_lab.compose import compose_one
from upsample_lab.config import TrainConfig
from upsample_lab.models import ConvolutionalAutoencoder
from upsample_lab.options.compare import CompareConfig
from upsample_lab.runs.identity import flat_deciding, identity
from upsample_lab.settings import ConfigError, choices

GLYPHS = "data=glyphs"
VARIANTS = [
    [GLYPHS, "upsample=deconv"],
    [GLYPHS, "upsample=deconv", "upsample.kernel_size=3"],
    [GLYPHS, "upsample=nearest"],
]
SEEDS = (0, 1, 2, 3, 4)
QUALITIES = {"deconv 4": 30.0, "deconv 3": 30.05, "nearest 3": 28.0}


def figures(config: TrainConfig, random: np.random.Generator) -> dict[str, float]:
    """Seeds move all variants alike by decibels, and each by itself by some hundredths."""
    common = 2 * np.random.default_rng(config.seed).standard_normal()
    name, k = config.upsample.name, getattr(config.upsample, "kernel_size", 0)
    artifact = {} if name == "unpool" else {"uniform/pattern_rms_levels": 0.2 if name == "deconv" else 0.0}
    return {
        "test/psnr_db": QUALITIES.get(f"{name} {k}", 25.0) + common + 0.03 * random.standard_normal(),
        "test/ssim": 0.9 + 0.001 * random.standard_normal(),
        "test/flat_pattern_rms_levels": 0.5 + 0.1 * random.standard_normal(),
        **artifact,
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three variants with five seeds, below `made/out/study`; tests that change something copy it."""
    root = tmp_path_factory.mktemp("made") / "out"
    write_experiment(root, "study", VARIANTS, SEEDS, figures)
    return root


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def config(root: Path, *words: str, experiment: str = "study") -> CompareConfig:
    quick = [f"experiment={experiment}", f"output_root={root}", "latency=false", "report=false"]
    result = compose_one("compare", [*quick, *words])
    assert isinstance(result, CompareConfig)
    return result


def compared(root: Path, *words: str) -> Comparison:
    return compare(config(root, *words), "python scripts/compare.py")


def runs_in(root: Path, pattern: str = "*") -> list[Path]:
    return sorted(path for path in (root / "study").glob(pattern) if (path / "summary.json").is_file())


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# ----------------------------------------------------------------------------------------------------------------------
# What a comparison finds


def test_variants_are_named_by_what_sets_them_apart_and_ordered_by_quality(made: Path) -> None:
    found = compared(made)
    assert [variant.name for variant in found.variants] == ["deconv k3", "deconv k4", "nearest"]
    assert found.seeds == SEEDS
    assert [run.seed for run in found.variants[0].runs] == list(SEEDS)
    assert found.variants[0].settings["upsample.kernel_size"] == 3
    assert "upsample.phase_equal" in found.variants[0].settings
    assert found.variants[0].cost.macs == 100 * found.variants[0].cost.parameters
    assert found.variants[0].cost.train_images_per_sec == pytest.approx(9050.5)
    assert found.pareto["parameters"] == ("deconv k3",)


def test_pairing_by_seed_shows_what_the_spread_of_the_runs_would_hide(made: Path) -> None:
    found = compared(made)
    deconv = found.estimates["test/psnr_db"]["deconv k4"]
    (pair,) = (d for d in found.differences["test/psnr_db"] if {d.first, d.second} == {"deconv k4", "nearest"})
    assert deconv.std > 1
    assert pair.mean == pytest.approx(2, abs=0.1)
    assert pair.shown
    assert 0 < pair.low < pair.mean < pair.high
    assert pair.low < pair.bootstrap_low < pair.bootstrap_high < pair.high
    assert pair.verdict.startswith("deconv k4 has the better PSNR than nearest, by 1.98 dB (")
    assert pair.more_seeds is None


def test_an_interval_that_ends_at_zero_is_told_to_lie_above_it() -> None:
    """A step-down test knows the direction of what it rejects in a later step, and bounds its size by zero."""
    psnr = metric_of("test/psnr_db")
    pair = Difference(psnr.key, "b", "a", -0.3, -0.64, 0.0, 0.01, 0.04, -1.0, SEEDS, True, None, "")
    words = difference_verdict(psnr, pair, [1.0] * 5, [1.3] * 5)
    assert words == "a has the better PSNR than b, by 0.30 dB (above 0 to 0.64 dB)."


def test_what_is_not_shown_is_told_with_the_seeds_that_it_would_take(made: Path) -> None:
    found = compared(made)
    (pair,) = (d for d in found.differences["test/ssim"] if {d.first, d.second} == {"deconv k3", "deconv k4"})
    assert not pair.shown
    assert pair.more_seeds is not None
    assert pair.low < 0 < pair.high
    assert f"shown with 5 seeds; {pair.more_seeds} more would be needed to see 0.0010" in pair.verdict


def test_every_pair_of_every_metric_is_judged_once_and_verdicts_follow_the_intervals(made: Path) -> None:
    found = compared(made)
    assert [metric.key for metric in found.metrics] == list(facts_of("reconstruct").shown)
    for differences in found.differences.values():
        assert len({frozenset((d.first, d.second)) for d in differences}) == len(differences)
        assert len(differences) in (2, 3), "the reference and the best with the rest; one variant may be both"
        for d in differences:
            nothing = 1 if d.is_ratio else 0
            assert d.shown == (d.p_holm < 0.05)
            if d.kind == "tested":
                assert d.shown == (d.mean != nothing and not d.low < nothing < d.high)
            if d.told_apart:
                assert "No difference" not in d.verdict
    assert len(found.verdict) == 3
    assert "deconv k3 has the best PSNR" in found.verdict[0]
    assert "nearest" in found.verdict[1]
    assert "multiply-accumulates" in found.verdict[2]


def test_quality_and_artifact_may_rank_differently(made: Path) -> None:
    found = compared(made)
    assert found.rankings["uniform/pattern_rms_levels"].order[0] == "nearest"
    assert found.verdict[1].startswith("nearest has no pattern on uniform images (every run is below 0.01 levels)")
    assert "deconv k3 and deconv k4 have one with every seed (0.20 levels or more)" in found.verdict[1]
    assert found.rank_agreement["test/psnr_db", "uniform/pattern_rms_levels"] < 0
    assert found.rankings["test/psnr_db"].best_share["nearest"] == 0
    assert sum(found.rankings["test/psnr_db"].best_share.values()) == pytest.approx(1)


def test_curves_regions_and_examples(made: Path) -> None:
    found = compared(made)
    curve = found.curves["val/psnr_db"]["nearest"]
    assert curve.steps == (0, 400, 800, 1200, 1600, 2000)
    assert curve.low[0] == curve.mean[0] == curve.high[0] == 5, "all runs start alike in these made-up curves"
    assert all(low < mean < high for low, mean, high in list(zip(curve.low, curve.mean, curve.high, strict=True))[1:])
    errors = found.regions["nearest"]
    assert errors.flat < errors.rest < errors.edges
    assert errors.edges > found.regions["deconv k3"].edges
    assert found.examples is not None
    assert sorted(found.examples.indices) == list(range(32))
    assert list(found.examples.spread_db) == sorted(found.examples.spread_db, reverse=True)
    assert all(file.is_file() for file in found.examples.files.values())
    assert {re.search(r"seed\d+", file.parent.name)[0] for file in found.examples.files.values()} == {"seed0"}


def test_provenance_says_how_to_repeat_the_runs(made: Path) -> None:
    found = compared(made).provenance
    assert found.commits == (COMMIT,)
    assert found.clean
    assert found.data == "glyphs"
    lines = found.command.splitlines()
    assert len(lines) == 3
    assert all(line.endswith("seed=0,1,2,3,4") and " -m " in line for line in lines)


def test_tables_hold_every_run_and_every_difference(made: Path, tmp_path: Path) -> None:
    found = compared(made)
    results, differences = write_tables(found, tmp_path / "report")
    rows = list(csv.DictReader(results.open(encoding="utf-8")))
    assert len(rows) == 15
    assert {row["variant"] for row in rows} == {"deconv k3", "deconv k4", "nearest"}
    values = found.estimates["test/psnr_db"]["nearest"].values
    assert {int(r["seed"]): float(r["test/psnr_db"]) for r in rows if r["variant"] == "nearest"} == values
    pairs = list(csv.DictReader(differences.open(encoding="utf-8")))
    assert len(pairs) == sum(map(len, found.differences.values()))
    assert float(pairs[0]["mean"]) == found.differences["test/psnr_db"][0].mean
    assert {row["kind"] for row in pairs} >= {"tested", "split"}
    assert {row["shown"] for row in pairs} == {"true", "false"}


def test_the_same_runs_give_the_same_tables(made: Path, tmp_path: Path) -> None:
    one, other = (write_tables(compared(made), tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


# ----------------------------------------------------------------------------------------------------------------------
# What is left out, and what is chosen


def test_incomplete_runs_and_older_attempts_are_left_out_with_a_line(out: Path) -> None:
    first, second, third, fourth, *_ = runs_in(out, "*nearest*")
    for run in runs_in(out, "*seed[0123]*"):  # the others lose these seeds too, so that all stay paired
        shutil.copytree(run, run.with_name(f"{run.name}-2"))
    edit(first.with_name(f"{first.name}-2") / "status.json", lambda s: s.update(state="failed", reason="loss rose"))
    (second.with_name(f"{second.name}-2") / "summary.json").write_text('{"steps": 20')
    (third.with_name(f"{third.name}-2") / "config.yaml").unlink()
    edit(fourth.with_name(f"{fourth.name}-2") / "summary.json", lambda s: s.pop("test/psnr_db"))
    (out / "study" / "notes").mkdir()
    found = compared(out)
    assert found.seeds == SEEDS
    assert not any(run.path.name.endswith("-2") for run in found.variants[-1].runs)
    assert sum(run.path.name.endswith("-2") for run in found.variants[0].runs) == 4
    lines = "\n".join(found.left_out)
    assert f"{first.name}-2: failed (loss rose)" in lines
    assert f"{second.name}-2: its summary.json is damaged or half-written" in lines
    assert f"{third.name}-2: it has no config.yaml" in lines
    assert f"{fourth.name}-2: its summary.json has no test/psnr_db" in lines
    assert lines.count("a newer attempt took its place") == 8
    assert "notes" not in lines


def test_what_is_none_is_told_alike_in_verdict_ranking_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three layers leave nothing but rounding, of another order in each seed, and one leaves a pattern."""

    def leaving(config: TrainConfig, random: np.random.Generator) -> dict[str, float]:
        levels = 2.0 + 0.1 * random.random() if config.upsample.name == "deconv" else 1e-5 * random.random()
        return {**figures(config, random), "uniform/pattern_rms_levels": levels}

    names = ["deconv", "nearest", "bilinear", "bicubic"]
    write_experiment(tmp_path, "study", [[GLYPHS, f"upsample={name}"] for name in names], SEEDS, leaving)
    found = compared(tmp_path)
    pattern = metric_of("uniform/pattern_rms_levels")
    ranks = ranks_of(found, pattern)
    assert ranks == {**{v.name: 1 for v in found.variants if v.name != "deconv"}, "deconv": 4}
    assert found.rankings[pattern.key].stability == 1  # rounding makes no order that resampling could overturn
    assert set(found.rankings[pattern.key].order[:3]) == set(names[1:])
    assert "have no pattern on uniform images (every run is below 0.01 levels)" in found.verdict[1]
    assert all(name in found.verdict[1] for name in names)
    assert {standing(found, pattern, name) for name in names[1:]} == {"best"}
    assert standing(found, pattern, "deconv") == ""
    print_comparison(found)
    table = capsys.readouterr().out
    assert table.count(" none ") == 3
    assert "e-0" not in table.split("pairs by")[0]


def test_runs_without_figures_of_images_still_compare(out: Path) -> None:
    runs = runs_in(out, "*nearest*")
    (runs[0] / "test_images.safetensors").unlink()
    (runs_in(out, "*deconv*")[0] / "test_images.safetensors").write_bytes(b"torn")
    found = compared(out)
    assert len(found.regions) == 1
    assert found.examples is None
    assert any("nearest: 1 of 5 runs have no test_images.safetensors" in line for line in found.left_out)


def test_a_metric_that_some_variants_lack_is_compared_among_the_others(tmp_path: Path) -> None:
    write_experiment(tmp_path, "study", [*VARIANTS, [GLYPHS, "upsample=unpool"]], SEEDS, figures)
    found = compared(tmp_path)
    assert set(found.estimates["uniform/pattern_rms_levels"]) == {"deconv k3", "deconv k4", "nearest"}
    assert len(found.differences["uniform/pattern_rms_levels"]) == 3
    assert found.reference == "deconv k4"
    assert len(found.differences["test/psnr_db"]) == 5, "of six pairs, those with the best or the reference"
    assert len(compared(tmp_path, "pairs=all").differences["test/psnr_db"]) == 6
    assert any("not defined for unpool" in line for line in found.caveats)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["only=[deconv]"], ["deconv k3", "deconv k4"]),
        (["only=[nearest,deconv k3]"], ["deconv", "nearest"]),
        (["only=['upsample.kernel_size=3']"], ["deconv", "nearest"]),
    ],
    ids=str,
)
def test_some_variants_only(made: Path, words: list[str], names: list[str]) -> None:
    assert [variant.name for variant in compared(made, *words).variants] == names


def test_unpaired_seeds_and_other_code_are_told_where_they_are_allowed(out: Path) -> None:
    shutil.rmtree(runs_in(out, "*nearest*")[0])
    edit(
        runs_in(out, "*deconv*")[1] / "capsule.json", lambda c: c["code"].update({"upsample_lab/models/file_3.py": "0"})
    )
    found = compared(out, "allow=[unpaired,code]")
    assert found.seeds == SEEDS[1:]
    assert any("only the 4 seeds common to all" in line for line in found.caveats)
    assert any("upsample_lab/models/file_3.py changed" in line for line in found.caveats)
    assert sum("not every variant has seed 0" in line for line in found.left_out) == 2


def test_one_seed_gives_figures_and_no_verdict(tmp_path: Path) -> None:
    write_experiment(tmp_path, "study", VARIANTS, (3,), figures)
    found = compared(tmp_path)
    assert math.isnan(found.estimates["test/psnr_db"]["nearest"].low)
    for d in found.differences["test/psnr_db"]:
        assert not d.shown
        assert "at least one more" in d.verdict
    assert any("One seed" in line for line in found.caveats)


def test_latency_is_measured_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_experiment(tmp_path, "study", [[*words, "model.widths=[4,8]"] for words in VARIANTS], (0, 1), figures)
    monkeypatch.setattr("upsample_lab.compare.latency.BATCH", 2)
    order: list[int] = []
    forward = ConvolutionalAutoencoder.raw
    monkeypatch.setattr(ConvolutionalAutoencoder, "raw", lambda self, x: (order.append(id(self)), forward(self, x))[1])
    found = compared(tmp_path, "latency=true")
    assert all(variant.cost.latency_ms > 0 for variant in found.variants)
    assert "latency_ms" in found.pareto
    assert order[6:9] == order[9:12], "after the warm-up the models take turns"
    assert len(set(order[6:9])) == 3


# ----------------------------------------------------------------------------------------------------------------------
# What is refused


def other_digest(out: Path) -> None:
    edit(runs_in(out)[3] / "capsule.json", lambda c: c["data"].update(digest="ffff"))


def other_data(out: Path) -> None:
    write_experiment(out, "study", [["data=mnist", "upsample=nearest"]], SEEDS, figures)
    for run in runs_in(out, "mnist*"):
        edit(run / "capsule.json", lambda c: c["data"].update(name="mnist"))


def other_steps(out: Path) -> None:
    edit(runs_in(out)[3] / "summary.json", lambda s: s.update(steps=7))


def other_rate(out: Path) -> None:
    write_experiment(out, "study", [[GLYPHS, "upsample=nearest", "optim.lr=0.5"]], SEEDS, figures)


def other_code(out: Path) -> None:
    edit(runs_in(out)[3] / "capsule.json", lambda c: c["code"].update({"upsample_lab/models/file_7.py": "0"}))


def unknown_code(out: Path) -> None:
    edit(runs_in(out)[3] / "capsule.json", lambda c: c.update(code=None, git=None))


def missing_seeds(out: Path) -> None:
    for run in runs_in(out, "*nearest-seed[13]*"):
        shutil.rmtree(run)


def no_common_seed(out: Path) -> None:
    for run in [*runs_in(out, "*nearest-seed[01]*"), *runs_in(out, "*deconv-seed[234]*")]:
        shutil.rmtree(run)


def seed_twice(out: Path) -> None:
    run = runs_in(out, "*nearest*")[0]
    shutil.copytree(run, run.with_name("a-copy"))


def all_running(out: Path) -> None:
    for run in runs_in(out):
        edit(run / "status.json", lambda s: s.update(state="running"))


def emptied(out: Path) -> None:
    for run in runs_in(out):
        shutil.rmtree(run)


def no_primary(out: Path) -> None:
    edit(runs_in(out, "*nearest*")[0] / "summary.json", lambda s: s.pop("test/ssim"))


def nothing(_: Path) -> None:
    pass


REFUSED: dict[str, tuple[Callable[[Path], None], list[str], list[str]]] = {
    "no such experiment": (nothing, ["experiment=studdy"], ["no such folder as", "did you mean study?"]),
    "no runs": (emptied, [], ["no runs found in", "study"]),
    "none complete": (all_running, [], ["none of the 15 runs", "running"]),
    "mixed datasets": (other_data, [], ["different datasets", "glyphs", "mnist", "only=["]),
    "other images": (other_digest, [], ["different images of glyphs", "ffff"]),
    "a setting besides": (
        other_rate,
        [],
        ["optim.lr differs", "0.5 in nearest lr=0.5", "vary=[upsample,model,optim.lr]"],
    ),
    "unequal steps": (other_steps, [], ["different numbers of steps", "7 in glyphs-"]),
    "other code": (other_code, [], ["different training code", "upsample_lab/models/file_7.py", "allow=[code]"]),
    "unknown code": (unknown_code, [], ["different training code", "a commit is unknown"]),
    "unpaired": (missing_seeds, [], ["not paired", "nearest lacks seeds 1, 3", "allow=[unpaired]"]),
    "no common seed": (no_common_seed, ["allow=[unpaired]"], ["no seed is common to all 3 variants"]),
    "seed twice": (seed_twice, [], ["nearest has seed 0 twice", "a-copy"]),
    "one variant": (nothing, ["only=[nearest]"], ["nothing to compare", "nearest"]),
    "no such variant": (nothing, ["only=[neares]"], ["only=neares", "did you mean nearest?"]),
    "no such value": (nothing, ["only=['data.name=mnist']"], ["no run has it", "data.name is glyphs"]),
    "unknown metric": (nothing, ["metrics=[test/psnr]"], ["test/psnr is unknown", "did you mean test/psnr_db?"]),
    "primary is missing": (no_primary, ["primary=test/ssim"], ["primary=test/ssim", "nearest has no such figure"]),
    "unknown allowance": (nothing, ["allow=[data]"], ["allow=[data]", "code, unpaired"]),
    "confidence": (nothing, ["confidence=95"], ["confidence=95", "from 0.5 to 0.999"]),
    "unknown key": (nothing, ["metric=test/ssim"], ["metric=test/ssim", "did you mean metrics?"]),
}


@pytest.mark.parametrize(("break_it", "words", "parts"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_compared_fairly_is_refused_in_one_line(
    out: Path, capsys: pytest.CaptureFixture[str], break_it: Callable[[Path], None], words: list[str], parts: list[str]
) -> None:
    break_it(out)
    before = sorted(out.rglob("*"))
    quick = ["experiment=study", f"output_root={out}", "latency=false", "report=false"]
    assert run_command("compare", [*quick, *words]) == 2
    stdout, message = capsys.readouterr()
    assert stdout == ""
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    for part in parts:
        assert part in message
    assert sorted(out.rglob("*")) == before, "nothing is written"


def test_a_folder_that_cannot_be_written(made: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="out: cannot write"):
        write_tables(compared(made), tmp_path / "file" / "report")


# ----------------------------------------------------------------------------------------------------------------------
# Code


def test_an_image_folder_is_told_by_its_name() -> None:
    run = Run(Path("run"), 0, {"data": {"path": "my/pictures"}}, {}, {"data": {"name": "image_folder"}})
    assert provenance_of([Group("a", "a", {}, (run,))], [0], "").data == "the image folder pictures"


def run_of(**capsule: Any) -> Run:
    return Run(Path("run"), 0, {}, {}, capsule)


def git(commit: str, files: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"commit": commit, "diff": " ".join(files), "files": list(files), "clean": not files}


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, list[str]]:
    """Three commits: the second changes a page, the third a layer, and adds one."""
    folder, commits = tmp_path / "repository", []
    layer, page = folder / "upsample_lab" / "upsamplers" / "deconv.py", folder / "docs" / "page.md"
    command = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for number, changed in enumerate([[layer, page], [page], [layer, layer.with_name("new.py")]]):
        for file in changed:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"version {number}\n")
        if number == 0:
            subprocess.run(["git", "init", "-q", str(folder)], check=True)
        subprocess.run([*command, "add", "."], check=True)
        subprocess.run([*command, "commit", "-qm", "m"], check=True)
        head = subprocess.run([*command, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        commits.append(head.stdout.strip())
    return folder, commits


def test_commits_differ_where_a_file_that_touches_training_does(repository: tuple[Path, list[str]]) -> None:
    folder, (first, second, third) = repository
    assert changed_between(first, second, folder) == []
    assert changed_between(second, third, folder) == ["upsample_lab/upsamplers/deconv.py"]
    assert changed_between(first, "f" * 40, folder) is None
    assert code_difference(run_of(git=git(first)), run_of(git=git(second)), folder) is None
    reason = code_difference(run_of(git=git(first)), run_of(git=git(third)), folder)
    assert reason is not None
    assert "upsample_lab/upsamplers/deconv.py changed between the commits" in reason
    assert "git cannot tell" in (code_difference(run_of(git=git(first)), run_of(git=git("f" * 40)), folder) or "")


def test_uncommitted_changes_count_where_they_touch_training(tmp_path: Path) -> None:
    clean, page = run_of(git=git("a")), run_of(git=git("a", ("docs/page.md",)))
    layer = run_of(git=git("a", ("upsample_lab/conv/im2col.py",)))
    assert code_difference(clean, page, tmp_path) is None
    assert "uncommitted changes in upsample_lab/conv/im2col.py" in (code_difference(clean, layer, tmp_path) or "")
    assert code_difference(layer, layer, tmp_path) is None


def test_a_new_file_makes_old_runs_no_less_comparable(tmp_path: Path) -> None:
    old, new = run_of(code={"a.py": "1"}), run_of(code={"a.py": "1", "new.py": "2"})
    assert code_difference(old, new, tmp_path) is None
    assert "a.py changed" in (code_difference(old, run_of(code={"a.py": "2"}), tmp_path) or "")


# ----------------------------------------------------------------------------------------------------------------------
# Agreement with the rest of the project


@pytest.mark.parametrize("model", ["small", "mlp"])
@pytest.mark.parametrize("data", choices("data"))
def test_what_decides_a_run_is_what_its_digest_is_made_of(model: str, data: str, tmp_path: Path) -> None:
    path = ["data.path=somewhere"] if data == "image_folder" else []
    trained = compose_one("train", [f"model={model}", f"data={data}", *path])
    expected = identity(trained)
    del expected["seed"]
    flat = {
        f"{key}.{name}" if isinstance(value, dict) else key: tuple(inner) if isinstance(inner, list) else inner
        for key, value in expected.items()
        for name, inner in (value.items() if isinstance(value, dict) else [("", value)])
    }
    assert flat_deciding(dataclasses.asdict(trained)) == flat


def test_known_metrics_are_those_that_runs_report() -> None:
    reported = {*TEST_METRICS, *VAL_METRICS, *TRAIN_METRICS}
    parts = {key for key in CATALOGUE if re.search(r"(flat_|residual_|/)(p[248]_rms|grey\d+_rms)_levels$", key)}
    assert len(parts) == 3 * 6 + 5
    assert set(CATALOGUE) - parts - {"constant/dc_phase_variation"} <= reported  # which older runs report
    assert {"test/psnr_db", "test/ssim"} <= {f"test/{name}" for name in QUALITY}


def test_names_stay_unique(tmp_path: Path) -> None:
    base = dataclasses.asdict(compose_one("train", [GLYPHS]))
    changes: list[dict[str, Any]] = [
        {"init": "random"}, {"init": "bilinear"}, {"kernel_size": 3}, {"phase_equal": True},
    ]  # fmt: skip
    runs = [
        Run(Path(str(k)), 0, {**base, "upsample": {**base["upsample"], **c}}, {}, {}) for k, c in enumerate(changes)
    ]
    names = [group.name for group in group_runs(runs)]
    assert names == ["deconv k3 random", "deconv k4 bilinear", "deconv k4 random", "deconv k4 random phase_equal"]


def test_real_runs_compare(train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["trainer.max_steps=3", "conv=native", "data.test_count=40"]
    assert train("-m", "upsample=deconv,nearest", "seed=0,1", "experiment.name=real", *words) == 0
    capsys.readouterr()
    quick = ["experiment=real", f"output_root={tmp_path / 'out'}", "report=false", "latency=false"]
    assert run_command("compare", quick) == 0
    printed = capsys.readouterr().out
    assert "real on glyphs: mean and 95% interval over 2 seeds (0, 1)" in printed
    assert "deconv" in printed
    found = compare(config(tmp_path / "out", experiment="real"), "")
    assert all(variant.cost.macs for variant in found.variants)
    assert set(found.regions) == {"deconv", "nearest"}
    assert found.caveats == compared_caveats(found)


def compared_caveats(found: Comparison) -> tuple[str, ...]:
    """The standing caveats alone: nothing had to be allowed or left out."""
    from upsample_lab.compare.collect import STANDING_CAVEATS

    assert found.left_out == ()
    return STANDING_CAVEATS
