"""What `scripts/export.py` takes: the schema of `configs/export.yaml`."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore

from upsample_lab.options.shared import plugins_setting
from upsample_lab.settings import setting


@dataclass
class ExportConfig:
    """Everything that `scripts/export.py` takes."""

    run: str = setting("the run directory whose best checkpoint is exported", is_path=True)
    to: str = setting(
        "onnx, a program of torch.export, or a library that AOTInductor compiles (needs a C++ compiler, and minutes)",
        choices=("onnx", "torch", "aot"),
    )
    part: str = setting("the whole model, or the decoder alone, from its latent", choices=("model", "decoder"))
    out: str | None = setting("the file to write; null for <run>/<part>.onnx, .pt2 or .aot.pt2", is_path=True)
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="export_schema", node=ExportConfig, provider="upsample_lab")
