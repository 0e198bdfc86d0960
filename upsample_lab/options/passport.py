"""What `scripts/passport.py` takes: the schema of `configs/passport.yaml`."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from upsample_lab.options.conv import ConvOptions
from upsample_lab.options.shared import device_setting, plugins_setting
from upsample_lab.options.upsample import UpsampleOptions
from upsample_lab.settings import setting


@dataclass
class PassportConfig:
    """Everything that `scripts/passport.py` takes."""

    upsample: UpsampleOptions = MISSING
    conv: ConvOptions = MISSING
    run: str | None = setting(
        "a finished run, whose upsamplers are measured at its own activations; null for the layer of upsample=",
        is_path=True,
    )
    data_root: str | None = setting("folder of the run's dataset; null for where it was trained from", is_path=True)
    in_channels: int = setting("channels that go into the upsampler", low=1, high=1024)
    out_channels: int = setting("channels that come out of it", low=1, high=1024)
    scale: int = setting("upsampling factor", low=2, high=4)
    size: int = setting("side of the low-resolution test images in pixels", low=16, high=128)
    seed: int = setting("decides the initial weights and the random test images", low=0, high=2**31 - 1)
    cost: bool = setting("whether to count and time it too, which takes longest")
    device: str = device_setting()
    output_root: str = setting("the passport is written to <output_root>/passports/<name>/", is_path=True)
    plugins: list[str] = plugins_setting()


ConfigStore.instance().store(name="passport_schema", node=PassportConfig, provider="upsample_lab")
