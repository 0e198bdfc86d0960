"""What a comparison leaves: two CSV files, the report, and a table on the screen."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from upsample_lab.catalogue import Metric, is_none, shown
from upsample_lab.compare.result import Comparison, Difference
from upsample_lab.runs.files import write_text
from upsample_lab.settings import ConfigError

PIPE_COLUMNS = 160
SHOWN_DIFFERENCES = 15
RUN_COLUMNS = ("variant", "seed", "run")


def write_tables(comparison: Comparison, folder: Path) -> list[Path]:
    """`results.csv`, a row a run with all its final figures, and `differences.csv`, a row a pair and metric."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        results, differences = folder / "results.csv", folder / "differences.csv"
        write_text(results, _csv(run_rows(comparison)))
        write_text(differences, _csv(difference_rows(comparison)))
    except OSError as error:
        raise ConfigError(f"out: cannot write {folder}: {error.strerror or error}") from None
    return [results, differences]


def run_rows(comparison: Comparison) -> list[list[Any]]:
    runs = [(variant, run) for variant in comparison.variants for run in variant.runs]
    settings = list(dict.fromkeys(key for variant in comparison.variants for key in variant.settings))
    figures = list(dict.fromkeys(key for _, run in runs for key in run.summary if key != "seed"))
    rows: list[list[Any]] = [[*RUN_COLUMNS, *settings, *figures]]
    for variant, run in runs:
        chosen = [_cell(variant.settings.get(key)) for key in settings]
        rows.append([variant.name, run.seed, run.path.name, *chosen, *(_cell(run.summary.get(key)) for key in figures)])
    return rows


DIFFERENCE_COLUMNS = (
    "metric", "first", "second", "mean", "low", "high", "is_ratio", "bootstrap_low", "bootstrap_high", "kind",
    "p_value", "p_holm", "effect_size", "shown", "more_seeds", "verdict",
)  # fmt: skip


def difference_rows(comparison: Comparison) -> list[list[Any]]:
    """Each difference, first minus second."""
    rows: list[list[Any]] = [list(DIFFERENCE_COLUMNS)]
    for differences in comparison.differences.values():
        rows += [[_cell(getattr(one, column)) for column in DIFFERENCE_COLUMNS] for one in differences]
    return rows


def _cell(value: Any) -> Any:
    """Numbers with all their digits; nothing where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else value


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


# ----------------------------------------------------------------------------------------------------------------------
# The screen


def print_comparison(comparison: Comparison) -> None:
    """The table of variants, differences and verdict on stdout; what was left out on stderr."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_COLUMNS)
    for line in comparison.left_out:
        print(f"left out: {line}", file=sys.stderr)
    seeds = ", ".join(map(str, comparison.seeds))
    table = Table(
        title=f"{comparison.experiment} on {comparison.provenance.data}: mean and {comparison.confidence:.0%} interval "
        f"over {len(comparison.seeds)} seeds ({seeds})",
        title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1),
    )  # fmt: skip
    table.add_column("variant", overflow="fold")
    for metric in comparison.metrics:
        table.add_column(f"{metric.title} {'↑' if metric.higher_is_better else '↓'}", justify="right")
    for heading in ("parameters", "M MACs", "ms a batch"):
        table.add_column(heading, justify="right", no_wrap=True)
    for variant in comparison.variants:
        cost = variant.cost
        macs = "–" if cost.macs is None else f"{cost.macs / 1e6:,.2f}"
        latency = "–" if cost.latency_ms is None else f"{cost.latency_ms:.1f}"
        figures = [_estimate(comparison, metric, variant.name) for metric in comparison.metrics]
        table.add_row(variant.name, *figures, f"{cost.parameters:,}", macs, latency)
    console.print(table)
    primary = comparison.metrics[0]
    with_reference = "" if comparison.reference is None else f"all with {comparison.reference}, and "
    asked = "every pair" if comparison.every_pair else f"{with_reference}the best with the rest"
    _print_differences(console.print, primary, comparison.differences[primary.key], asked)
    for sentence in (*comparison.verdict, *(f"Note: {line}" for line in comparison.caveats)):
        console.print(sentence, markup=False)


def _print_differences(say: Any, metric: Metric, differences: Sequence[Difference], asked: str) -> None:
    unshown = sum(not one.told_apart for one in differences)
    lead = f"{len(differences)} pairs by {metric.title} ({asked})"
    say(f"{lead}, {unshown} of them without a difference shown:", markup=False)
    for one in differences[:SHOWN_DIFFERENCES]:
        say(f"  {one.verdict}", markup=False)
    if len(differences) > SHOWN_DIFFERENCES:
        say(f"  … and {len(differences) - SHOWN_DIFFERENCES} more in differences.csv", markup=False)
    say("")


def _estimate(comparison: Comparison, metric: Metric, name: str) -> str:
    estimate = comparison.estimates[metric.key].get(name)
    if estimate is None:
        return "–"
    if is_none(metric, estimate.mean):
        return "none"
    if math.isnan(estimate.low) or estimate.low == estimate.high:
        return shown(metric, estimate.mean)
    if estimate.geometric:
        ends = (shown(metric, end).removesuffix(metric.unit).rstrip() for end in (estimate.low, estimate.high))
        return f"{shown(metric, estimate.mean)} ({' to '.join(ends)})"
    half = (estimate.high - estimate.low) / 2
    return f"{shown(metric, estimate.mean).removesuffix(metric.unit).rstrip()} ± {shown(metric, half)}"
