"""Write a run's best checkpoint for where no Python is: ONNX, torch.export's program, or a compiled library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upsample_lab.cli.main import BadRequest, answer
from upsample_lab.options.export import ExportConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

USAGE = """
Export the best checkpoint of a run, for any batch, height and width, and compare it with the model.

  {call} run=outputs/default/<run directory>                     <run>/model.onnx
  {call} run=<run directory> part=decoder                        from the latent alone
  {call} run=<run directory> to=aot out=decoder.pt2              compiled by AOTInductor
"""


def main(words: Sequence[str]) -> int:
    """Answer the command line; returns the exit status. Raises `ConfigError`."""
    return answer("export", USAGE, run, words)


def run(config: ExportConfig) -> int:
    """Export, and print what was written."""
    from upsample_lab.export import FORMATS
    from upsample_lab.trained import blank_images, load_run

    export, suffix = FORMATS[config.to]
    suffix = ".aot.pt2" if config.to == "aot" else suffix
    try:
        model, trained = load_run(config.run)
        # Of black images nothing could be told apart: noise of the same shape is compared.
        images = blank_images(trained).test.float().uniform_()
        part, inputs = _part(model, images, config.part)
    except ValueError as error:  # a checkpoint that is damaged or not there
        raise BadRequest(str(error)) from None
    out = Path(config.run) / f"{config.part}{suffix}" if config.out is None else Path(config.out)
    print(export(part, inputs, out))
    return 0


def _part(model: Any, images: Tensor, part: str) -> tuple[nn.Module, Tensor]:
    """What is exported, and an example of its input. Raises `BadRequest`."""
    import torch

    from upsample_lab.export import Decoding
    from upsample_lab.models.base import Autoencoder

    if part == "model":
        return model, images
    if not isinstance(model, Autoencoder) or getattr(model, "needs_guide", False):
        raise BadRequest("part=decoder: this model's decoder needs more than a latent; export part=model")
    return Decoding(model), torch.randn(2, *model.latent_shape)
