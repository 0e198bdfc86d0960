"""What two equal runs must agree on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from upsample_lab.runs.journal import TIMES, read_reports


def result(run: Path) -> dict[str, Any]:
    """Summary, metrics and weights of a complete run, bit for bit, without what it took in seconds."""
    summary = json.loads((run / "summary.json").read_text())
    metrics = read_reports(run)
    weights = {name: load_file(run / "checkpoints" / f"{name}.safetensors") for name in ("last", "best")}
    return {
        "summary": {key: value for key, value in summary.items() if key != "seconds"},
        "metrics": [{key: value for key, value in line.items() if key not in TIMES} for line in metrics],
        "weights": {
            f"{name} {key}": tensor.numpy().tobytes() for name, part in weights.items() for key, tensor in part.items()
        },
    }
