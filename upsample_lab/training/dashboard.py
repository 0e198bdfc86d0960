"""What TensorBoard shows beside the curves: charts by subject, and a row of the hparams table for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import custom_scalars, hparams

from upsample_lab.catalogue import described, facts_of
from upsample_lab.config import TrainConfig
from upsample_lab.options.task import DEFAULT_TASK
from upsample_lab.runs.identity import identity
from upsample_lab.settings import option_values

LEADING = ("seed", "upsample")
"""The columns of the table of runs that come first, in this order, which is TensorBoard's."""


def charts(task: str) -> dict[str, dict[str, str]]:
    """Category, chart, tag: the page "Custom scalars". A chart has one tag, since TensorBoard colours a curve by its
    run, and tells two tags of one run apart by the shape of small markers alone."""
    return {category: {_chart_title(key): key for key in keys} for category, keys in facts_of(task).charts.items()}


def _chart_title(key: str) -> str:
    metric = described(key)
    title = metric.heading if metric else key
    return f"{title}, validation" if key.startswith("val/") else title


def layout(task: str) -> Summary:
    """`charts` as TensorBoard's record; it merges the same layout of many runs into one page."""
    page = {
        category: {title: ["Multiline", [f"^{tag}$"]] for title, tag in own.items()}
        for category, own in charts(task).items()
    }
    summary: Summary = custom_scalars(page)
    return summary


def hparams_row(settings: Mapping[str, Any]) -> tuple[Summary, Summary, Summary]:
    """The records of one row: its columns, its start with the settings, its end.

    The row's figures are the last points of the curves of the same names, so it must be in the same event file as they
    are (`SummaryWriter.add_hparams` would start another run beside it). The columns are those of a run that is looked
    at alone; several runs have `hparams_columns`.
    """
    columns, start, end = hparams(dict(settings), dict.fromkeys(_metrics(settings), 0.0))
    return _leading_first(columns), start, end


def _metrics(settings: Mapping[str, Any]) -> list[str]:
    """All final figures of a task, those first that it shows; TensorBoard ticks five."""
    facts = facts_of(task_of(settings))
    return list(dict.fromkeys([*facts.shown, *facts.final]))


def hparams_columns(configs: Sequence[TrainConfig]) -> Summary:
    """The record of the columns for several runs: the upsampler, the seed, and what else is not the same in all."""
    rows = [telling_settings(config) for config in configs]
    metrics = dict.fromkeys(name for row in rows for name in _metrics(row))
    shown: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        of_the_upsampler = name.startswith("upsample.")  # others do not have it; elsewhere None stands for the default
        column = [row.get(name) for row in rows if name in row or not of_the_upsampler]
        if name in LEADING or any(value != column[0] for value in column):
            shown[name] = column[0] if len({type(value) for value in column}) == 1 else str(column[0])
    columns, _, _ = hparams(shown, dict.fromkeys(metrics, 0.0))
    return _leading_first(columns)


def task_of(settings: Mapping[str, Any]) -> str:
    """The task that a run's `telling_settings` name, where it is not the default one."""
    return str(settings.get("task", DEFAULT_TASK))


def _leading_first(columns: Summary) -> Summary:
    """TensorBoard ticks the first five columns, of which it takes those first that differ, as the record says."""
    (value,) = columns.value
    plugin = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    for info in plugin.experiment.hparam_infos:
        info.differs = info.name in LEADING
    value.metadata.plugin_data.content = plugin.SerializeToString()
    return columns


def telling_settings(config: TrainConfig) -> dict[str, Any]:
    """What tells this run from others: the choice of each group, the upsampler's options, the seed, and every setting
    that decides the result and is not at its option's default.

    All settings would be some fifty columns, of which the page shows the first five of the alphabet.
    """
    telling: dict[str, Any] = {}
    for group, values in identity(config).items():
        if not isinstance(values, Mapping):
            telling[group] = values
            continue
        name = values.get("name", "default")
        if name != "default":
            telling[group] = name
        defaults = option_values(group, name)
        for key, value in values.items():
            if key != "name" and (group == "upsample" or value != defaults.get(key)):
                telling[f"{group}.{key}"] = value if isinstance(value, int | float | str) else str(value)
    return telling
