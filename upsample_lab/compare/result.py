"""What a comparison found, as plain values: statistics fill it in, the reports draw it. Imports no torch.

An experiment's runs fall into *variants*: the runs of one configuration under several seeds. Each variant has a cost,
each metric an estimate for each variant, and each pair of variants a difference, paired by seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upsample_lab.catalogue import Metric
from upsample_lab.options.task import DEFAULT_TASK


@dataclass(frozen=True)
class Run:
    """One complete run, as its directory tells it."""

    path: Path
    seed: int
    config: Mapping[str, Any]  # the resolved configuration, nested as in config.yaml
    summary: Mapping[str, Any]
    capsule: Mapping[str, Any]

    @property
    def task(self) -> str:
        """Runs from before there were several name none."""
        task = self.config.get("task")
        return str(task["name"]) if isinstance(task, Mapping) and "name" in task else DEFAULT_TASK


@dataclass(frozen=True)
class VariantCost:
    """What a variant costs; for the model as a whole, forward, one image."""

    parameters: int
    macs: int | None
    latency_ms: float | None  # one batch forward, median, measured side by side; None where it was not measured
    train_images_per_sec: float | None  # median over the runs, whatever else their machines did


@dataclass(frozen=True)
class Variant:
    """One configuration under several seeds. `settings` are those in which the variants differ, by dotted key."""

    name: str  # short, unique, readable: "deconv", "deconv k3", "pixel_shuffle icnr"
    upsampler: str  # its name in the registry (for colours), or the model's where it has no upsampler
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]  # by seed
    cost: VariantCost


@dataclass(frozen=True)
class Estimate:
    """A metric of a variant over its seeds; the interval is that of the mean."""

    mean: float  # values that are none taken as the least that is not, but where all of them are none
    std: float  # sample standard deviation (n - 1); NaN for one seed
    low: float
    high: float
    values: Mapping[int, float]  # by seed
    geometric: bool = False  # whether mean and interval are those of the logarithms


@dataclass(frozen=True)
class Difference:
    """`first` minus `second`, paired by seed; or `first` over `second`, where logarithms were compared."""

    metric: str
    first: str
    second: str
    mean: float
    low: float
    high: float
    p_value: float
    p_holm: float  # corrected over the pairs of this metric's questions
    effect_size: float  # mean over standard deviation of the differences (Cohen's d_z)
    seeds: tuple[int, ...]
    shown: bool  # whether Holm's test shows it: the corrected interval excludes zero, or ends there
    more_seeds: int | None  # seeds beyond these that would be needed to see the smallest difference of interest
    verdict: str  # one sentence
    bootstrap_low: float = math.nan  # of this pair alone, not corrected; from the resampled seeds
    bootstrap_high: float = math.nan
    is_ratio: bool = False  # whether mean, low, high and the bootstrap's are ratios, of geometric means
    kind: str = "tested"  # or "split": none in all runs of one, not of the other; or "neither": none in both
    whole: bool = False  # of a split: whether the other has it in every run

    @property
    def told_apart(self) -> bool:
        """Whether the verdict tells them apart: by a test, or as one has in every run what the other never has."""
        return self.shown or self.whole


@dataclass(frozen=True)
class Ranking:
    """Variants from best to worst by a metric, and how firm that order is."""

    metric: str
    order: tuple[str, ...]
    stability: float  # share of bootstrap resamples of the seeds that keep the whole order
    best_share: Mapping[str, float]  # share of resamples in which each variant is best


@dataclass(frozen=True)
class Curve:
    """A metric over training: mean and interval over the seeds at each step that all of them report."""

    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class RegionError:
    """Where a variant errs: mean squared error over the test images, by kind of pixel, mean over the seeds."""

    edges: float  # pixels whose gradient magnitude is in the image's upper fifth
    flat: float  # pixels without gradient to speak of
    rest: float


@dataclass(frozen=True)
class Examples:
    """Test images to look at, those first on which the variants differ most; indices into a file's `originals`."""

    indices: tuple[int, ...]
    spread_db: tuple[float, ...]  # PSNR of the best variant less that of the worst, mean over the seeds
    psnr_db: Mapping[str, tuple[float, ...]]  # variant name; mean over the seeds
    files: Mapping[str, Path]  # variant name: the test_images.safetensors of its run with the lowest seed


@dataclass(frozen=True)
class Provenance:
    """How it was measured."""

    commits: tuple[str, ...]
    clean: bool  # no run was made from uncommitted changes
    machines: tuple[str, ...]
    packages: Mapping[str, str]
    command: str  # repeats the runs
    compare_command: str
    data: str  # name of the dataset
    data_note: str  # e.g. that it is a JPEG copy; "" where there is nothing to say


@dataclass(frozen=True)
class Comparison:
    """Everything that the reports show."""

    experiment: str
    root: Path  # the folder of the runs
    metrics: tuple[Metric, ...]  # the first one is the primary metric
    variants: tuple[Variant, ...]  # in the order of the primary metric, best first
    seeds: tuple[int, ...]
    estimates: Mapping[str, Mapping[str, Estimate]]  # metric key, variant name
    differences: Mapping[str, tuple[Difference, ...]]  # metric key; the pairs that were asked for
    rankings: Mapping[str, Ranking]  # metric key
    rank_agreement: Mapping[tuple[str, str], float]  # Kendall's tau between two metrics' rankings of the variants
    pareto: Mapping[str, tuple[str, ...]]  # "parameters", "macs", "latency_ms": variants that no other dominates
    curves: Mapping[str, Mapping[str, Curve]]  # metric key of metrics.jsonl ("val/psnr_db"), variant name
    regions: Mapping[str, RegionError]  # variant name; empty where runs kept no per-image figures
    provenance: Provenance
    verdict: tuple[str, ...]  # three sentences
    caveats: tuple[str, ...]  # what it does not show
    left_out: tuple[str, ...] = field(default=())  # runs that were not used, and why, a line each
    examples: Examples | None = None  # None where runs kept no images
    reference: str | None = None  # the variant that every other was compared with
    every_pair: bool = False  # whether every pair was compared, not only those with the reference and the best
    confidence: float = 0.95  # of all intervals; those of `differences` hold for all pairs of a metric at once
