"""What `scripts/compare.py` takes: the schema of `configs/compare.yaml`."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore

from upsample_lab.options.shared import plugins_setting
from upsample_lab.settings import setting


@dataclass
class CompareConfig:
    """Everything that `scripts/compare.py` takes."""

    experiment: str = setting(
        "the experiment whose runs are compared: its name, or the path of a folder of runs", is_path=True
    )
    output_root: str = setting("folder of all experiments", is_path=True)
    out: str | None = setting("where the report is written; null for <output_root>/<experiment>/report", is_path=True)
    only: list[str] | None = setting("compare these only: names of variants, upsamplers, or 'key=value'; null for all")
    vary: list[str] = setting("settings, or groups of them, that the runs may differ in")
    allow: list[str] | None = setting(
        "differences to pass over: code that touches training, seeds that some variants lack",
        choices=("code", "unpaired"),
    )
    primary: str | None = setting(
        "the metric that decides the order and the verdict, a key of summary.json; null for that of the task"
    )
    metrics: list[str] | None = setting(
        "the metrics that are compared, keys of summary.json; null for those of the task"
    )
    reference: str = setting("every variant is compared with this one: a variant's name, or an upsampler's")
    pairs: str = setting(
        "which pairs are compared: those with the reference and with the best, or all", choices=("questions", "all")
    )
    confidence: float = setting("of all intervals", low=0.5, high=0.999)
    resamples: int = setting("bootstrap resamples; of 6 seeds or fewer all are taken", low=999, high=1_000_000)
    bootstrap_seed: int = setting("decides the random resamples", low=0, high=2**31 - 1)
    latency: bool = setting("whether to time the models side by side; takes some seconds")
    report: bool = setting("whether to write the report with its figures; false for the tables alone")
    passports: bool = setting("whether the report measures each layer's passport, kept for next time; seconds a layer")
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="compare_schema", node=CompareConfig, provider="upsample_lab")
