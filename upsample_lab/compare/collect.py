"""One command's worth: runs in, `Comparison` out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from upsample_lab.catalogue import ARTIFACT, OLD_ARTIFACT, Metric, artifact_of, curve_key, facts_of, metric_of
from upsample_lab.compare import refusals
from upsample_lab.compare.curves import History, curve_of, read_history
from upsample_lab.compare.images import examples_of, per_image, region_errors
from upsample_lab.compare.judge import Values, agreements, differences_of, estimates_of, pareto_of, ranking_of
from upsample_lab.compare.provenance import provenance_of
from upsample_lab.compare.reading import Found, find_experiment, keep_only, read_runs
from upsample_lab.compare.result import Comparison, Curve, Variant, VariantCost
from upsample_lab.compare.statistics import resamples_of
from upsample_lab.compare.variants import Group, group_runs, select
from upsample_lab.compare.verdicts import overall_verdict
from upsample_lab.options import load_option
from upsample_lab.options.compare import CompareConfig
from upsample_lab.runs.identity import deciding
from upsample_lab.settings import ConfigError, nearest

DEFAULT_REFERENCE = "deconv"  # as configs/compare.yaml has it
LATENCY_VARIANTS = 24  # above, measuring them side by side takes longer than anybody waits for a report
REPOSITORY = Path(__file__).parents[2]

STANDING_CAVEATS = (
    "The seeds stand for what chance does to a training, by initial weights and the order of the images. They do not "
    "stand for other datasets, models or training budgets, of which nothing is shown here.",
    "Intervals and p-values are Student's; for few seeds they rest on differences that are roughly normal or at least "
    "symmetric (docs/statistics.md has the measured coverage). Where a variant leaves nothing in any run, the "
    "probability is exact.",
)


def compare(config: CompareConfig, command: str) -> Comparison:
    """Collect, check, pair and judge the runs of an experiment. Raises `ConfigError` with one line."""
    allow, only = config.allow or [], config.only or []
    found = read_runs(find_experiment(config.experiment, Path(config.output_root)))
    found, groups = chosen_groups(found, only)
    seeds, caveats = checked(groups, config.vary, allow)
    reference, absent = reference_of(groups, config.reference)
    facts = facts_of(groups[0].runs[0].task)
    metrics = chosen_metrics(config.metrics or facts.shown, config.primary or facts.primary, groups)
    every, notes = values_of(groups, seeds, metrics)
    histories = read_histories(groups, seeds, [curve_key(value.metric) for value in every])
    costs, latency_notes = costs_of(groups, histories, latency=config.latency)
    return judged(
        config, found, groups, every, histories, costs, command, reference, [*caveats, *notes, *absent, *latency_notes]
    )


def chosen_groups(found: Found, only: Sequence[str]) -> tuple[Found, list[Group]]:
    """The variants that `only` leaves: `key=value` words choose runs, others name variants or upsamplers."""
    settings = dict(word.split("=", 1) for word in only if "=" in word)
    found = keep_only(found, settings)
    groups = select(group_runs(found.runs), [word for word in only if "=" not in word])
    if len(groups) < 2:
        raise ConfigError(
            f"{found.root}: there is nothing to compare, all {sum(len(g.runs) for g in groups)} complete runs "
            f"are of {groups[0].name}; train another configuration too"
        )
    return found, groups


def checked(groups: Sequence[Group], vary: Sequence[str], allow: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """The seeds that pair the runs, and caveats for what was allowed. Raises `ConfigError` for what is not."""
    refusals.check_same_task(groups)
    refusals.check_same_data(groups)
    refusals.check_same_settings(groups, vary)
    refusals.check_same_steps(groups)
    caveats = refusals.check_same_code(groups, "code" in allow, REPOSITORY)
    seeds, notes = refusals.common_seeds(groups, "unpaired" in allow)
    return seeds, [*caveats, *notes]


def reference_of(groups: Sequence[Group], word: str) -> tuple[str | None, list[str]]:
    """The variant that the others are compared with: the one of that name, or the upsampler's with default options.

    Raises `ConfigError` where there is none; the default reference may be missing, which a caveat tells.
    """
    if word in (names := [group.name for group in groups]):
        return word, []
    of_layer = [group for group in groups if group.layer == word]
    if len(of_layer) > 1:
        of_layer = [group for group in of_layer if _has_default_options(group)]
    if len(of_layer) == 1:
        return of_layer[0].name, []
    if word == DEFAULT_REFERENCE:
        return None, [f"No variant is plain {word}, so none served as the reference; reference= names another."]
    known = list(dict.fromkeys([*names, *(group.layer for group in groups)]))
    raise ConfigError(f"reference={word}: no such variant; there are {', '.join(known)}{nearest(word, known)}")


def _has_default_options(group: Group) -> bool:
    """Whether every option that decides a result is at its default."""
    own = deciding(group.runs[0].config).get("upsample")
    defaults = asdict(load_option("upsample", group.layer))
    return isinstance(own, Mapping) and all(value == defaults.get(key) for key, value in own.items())


def chosen_metrics(keys: Sequence[str], primary: str, groups: Sequence[Group] = ()) -> list[Metric]:
    """The metrics, the primary one first; of older runs the artifact figure that they have."""
    summaries = [run.summary for group in groups for run in group.runs]
    old = any(OLD_ARTIFACT in one for one in summaries) and not any(ARTIFACT in one for one in summaries)
    return [
        metric_of(OLD_ARTIFACT if old and key == ARTIFACT and key != primary else key)
        for key in dict.fromkeys([primary, *keys])
    ]


def values_of(
    groups: Sequence[Group], seeds: Sequence[int], metrics: Sequence[Metric]
) -> tuple[list[Values], list[str]]:
    """Each metric's values, of the variants whose runs all have it; and a caveat for each variant that has not.

    Raises `ConfigError` where some variant lacks the primary metric.
    """
    every, caveats = [], []
    for metric in metrics:
        rows = {group.name: _row(group, seeds, metric.key) for group in groups}
        whole = {name: row for name, row in rows.items() if row is not None}
        lacking = [name for name in rows if name not in whole]
        if lacking and metric is metrics[0]:
            raise ConfigError(f"primary={metric.key}: {lacking[0]} has no such figure in its summary.json")
        if lacking:
            caveats.append(f"{metric.title} ({metric.key}) is not defined for {', '.join(lacking)}.")
        if whole:
            every.append(Values(metric, tuple(whole), tuple(seeds), np.array(list(whole.values()), dtype=np.float64)))
    return every, caveats


def _row(group: Group, seeds: Sequence[int], key: str) -> list[float] | None:
    values = {run.seed: run.summary.get(key) for run in group.runs}
    row = [values[seed] for seed in seeds]
    good = all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < np.inf for value in row)
    return [float(value) for value in row if value is not None] if good else None


def read_histories(groups: Sequence[Group], seeds: Sequence[int], keys: Sequence[str]) -> dict[str, list[History]]:
    return {g.name: [read_history(run.path, keys) for run in g.runs if run.seed in seeds] for g in groups}


def costs_of(
    groups: Sequence[Group], histories: Mapping[str, Sequence[History]], *, latency: bool
) -> tuple[dict[str, VariantCost], list[str]]:
    """What each variant costs, and caveats about what could not be measured."""
    measured: Mapping[str, float] = {}
    notes = []
    if latency and len(groups) > LATENCY_VARIANTS:
        notes.append(f"Latency was not measured: there are more than {LATENCY_VARIANTS} variants.")
    elif latency:
        from upsample_lab.compare.latency import measure_latency

        measured, notes = measure_latency(groups)
    costs = {}
    for group in groups:
        summary = group.runs[0].summary
        speeds = [history.images_per_sec for history in histories[group.name] if history.images_per_sec]
        macs = summary.get("macs_per_image")
        costs[group.name] = VariantCost(
            parameters=int(summary["parameters"]),
            macs=int(macs) if isinstance(macs, int) else None,
            latency_ms=measured.get(group.name),
            train_images_per_sec=float(np.median(speeds)) if speeds else None,
        )
    return costs, notes


def judged(
    config: CompareConfig, found: Found, groups: Sequence[Group], every: Sequence[Values],
    histories: Mapping[str, Sequence[History]], costs: Mapping[str, VariantCost], command: str, reference: str | None,
    caveats: Sequence[str],
) -> Comparison:  # fmt: skip
    """All that follows from values that are known to be comparable."""
    seeds = every[0].seeds
    resamples = resamples_of(len(seeds), config.resamples, config.bootstrap_seed)
    by_name = {group.name: group for group in groups}
    ordered = [by_name[name] for name in ranking_of(every[0], resamples).order]
    every = [_in_order(values, [group.name for group in ordered]) for values in every]
    rankings = {values.metric.key: ranking_of(values, resamples) for values in every}  # ties in the order of the first
    estimates = {values.metric.key: estimates_of(values, config.confidence) for values in every}
    every_pair = config.pairs == "all"
    differences = {
        values.metric.key: differences_of(values, resamples, config.confidence, reference, every_pair=every_pair)
        for values in every
    }
    agreement, pareto = agreements(every), pareto_of(every[0], costs)
    metrics = tuple(values.metric for values in every)
    artifact = artifact_of(metrics)
    figures, without_images = per_image(ordered, seeds)
    return Comparison(
        experiment=found.root.name,
        root=found.root,
        metrics=metrics,
        variants=tuple(_variant(group, seeds, costs[group.name]) for group in ordered),
        seeds=seeds,
        estimates=estimates,
        differences=differences,
        rankings=rankings,
        rank_agreement=agreement,
        pareto=pareto,
        curves=_curves(metrics, ordered, histories, config.confidence),
        regions=region_errors(figures),
        provenance=provenance_of(ordered, seeds, command),
        verdict=overall_verdict(metrics, estimates, differences, rankings, agreement, artifact, pareto, costs),
        caveats=(*caveats, *_one_seed(seeds), *STANDING_CAVEATS),
        left_out=(*found.left_out, *_unpaired(groups, seeds), *without_images),
        examples=examples_of(figures, ordered, seeds),
        reference=reference,
        every_pair=every_pair,
        confidence=config.confidence,
    )


def _in_order(values: Values, names: Sequence[str]) -> Values:
    """The rows in the order of `names`, so that tables and pairs begin with the best."""
    rows = {name: row for row, name in enumerate(values.names)}
    kept = [name for name in names if name in rows]
    return replace(values, names=tuple(kept), values=values.values[[rows[name] for name in kept]])


def _variant(group: Group, seeds: Sequence[int], cost: VariantCost) -> Variant:
    runs = tuple(run for run in group.runs if run.seed in seeds)
    return Variant(group.name, group.layer, group.settings, runs, cost)


def _curves(
    metrics: Sequence[Metric], groups: Sequence[Group], histories: Mapping[str, Sequence[History]], confidence: float
) -> dict[str, dict[str, Curve]]:
    curves: dict[str, dict[str, Curve]] = {}
    for metric in metrics:
        found = {group.name: curve_of(histories[group.name], metric, confidence) for group in groups}
        if whole := {name: curve for name, curve in found.items() if curve is not None}:
            curves[curve_key(metric)] = whole
    return curves


def _one_seed(seeds: Sequence[int]) -> list[str]:
    return (
        ["One seed tells nothing about chance: no interval and no difference can be shown."] if len(seeds) == 1 else []
    )


def _unpaired(groups: Sequence[Group], seeds: Sequence[int]) -> list[str]:
    runs = [run for group in groups for run in group.runs if run.seed not in seeds]
    return [f"{run.path.name}: not every variant has seed {run.seed}" for run in runs]


def relative(path: Path) -> str:
    """A path as a reader types it: relative where it lies below the working directory."""
    return os.path.relpath(path) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
