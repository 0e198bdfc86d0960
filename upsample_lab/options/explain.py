"""What `scripts/explain.py` takes: the schema of `configs/explain.yaml` and `configs/explain_plan.yaml`."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore

from upsample_lab.settings import setting


@dataclass
class ExplainConfig:
    """The derivation for one kernel size, stride and padding."""

    input_size: int = setting("side of the input X in pixels; up to 8 for png, gif and html", low=1, high=10)
    kernel_size: int = setting("side of the kernel W", low=1, high=6)
    stride: int = setting("step of the kernel", low=1, high=5)
    padding: int = setting("zeros around the input", low=0, high=4)
    to: str = setting("what to write", choices=("text", "png", "gif", "html"))
    output: str | None = setting("file to write; null for outputs/explain/<name>", is_path=True)


@dataclass
class PlanConfig:
    """The sizes of an encoder and a decoder."""

    image_size: int = setting("side of the image in pixels", low=1, high=65536)
    stages: int = setting("strided convolutions of the encoder", low=1, high=16)
    scale: int = setting("stride of each", low=2, high=8)
    encoder_kernel_size: int = setting("kernel of the encoder's convolutions", low=1, high=32)
    encoder_padding: int = setting("padding of the encoder's convolutions", low=0, high=32)
    max_kernel_size: int = setting("largest kernel of the decoder to list", low=1, high=32)


ConfigStore.instance().store(name="explain_schema", node=ExplainConfig, provider="upsample_lab")
ConfigStore.instance().store(name="explain_plan_schema", node=PlanConfig, provider="upsample_lab")
