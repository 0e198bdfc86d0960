"""What `scripts/evaluate.py` takes: the schema of `configs/evaluate.yaml`."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore

from upsample_lab.options.shared import device_setting, plugins_setting
from upsample_lab.settings import setting


@dataclass
class EvaluateConfig:
    """Everything that `scripts/evaluate.py` takes."""

    run: str = setting("the run directory whose best checkpoint is evaluated", is_path=True)
    images: str = setting("which images to evaluate on", choices=("test", "validation"))
    count: int = setting("images in the picture", low=1, high=64)
    data_root: str | None = setting(
        "folder of the datasets; null for the one that the run was trained from", is_path=True
    )
    device: str = device_setting()
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="evaluate_schema", node=EvaluateConfig, provider="upsample_lab")
