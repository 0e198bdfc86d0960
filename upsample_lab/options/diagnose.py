"""What the command `diagnose` takes: the schema of `configs/diagnose.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from upsample_lab.options.shared import device_setting, plugins_setting
from upsample_lab.settings import setting


@dataclass
class DiagnoseConfig:
    """Everything that `diagnose` takes."""

    model: str | None = setting(
        "a function of yours that makes the model, which is imported and called, and so runs",
        pattern=r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*",
        pattern_help="package.module:function",
    )
    weights: str | None = setting("its weights: a safetensors file, or one of torch.save's", is_path=True)
    run: str | None = setting("in place of model: a run directory, whose best checkpoint is diagnosed", is_path=True)
    input: Any = setting(
        "the shape of the input, or of each; or a file; null for what the function gives with the model",
        pattern=r"[1-9]\d*|\[\d+(, \d+)*\]|.+\.(png|jpe?g|webp|bmp|npy|pt|pth|safetensors)",
        pattern_help="a shape such as [1,3,64,64], a list of shapes, or an image, .npy, .pt or .safetensors file",
    )
    output_range: list[float] | None = setting("black and white of the output; null to tell it from its numbers")
    seed: int = setting("decides the numbers of an input of which the shape is given", low=0, high=2**31 - 1)
    device: str = device_setting()
    output_root: str = setting("the diagnosis is written to <output_root>/diagnoses/<name>/", is_path=True)
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="diagnose_schema", node=DiagnoseConfig, provider="upsample_lab")
