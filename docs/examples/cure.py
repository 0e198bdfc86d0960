"""The case of docs/cure.md: a model of somebody's own is trained, cured in several ways, and measured before and after.

    python docs/examples/cure.py FOLDER [--picture OUT.png]

FOLDER holds `train/` and `test/` with pictures of 32 x 32, such as CIFAR-10's. Minutes on two cores.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from upsample_lab.doctor import balance, changes, swap
from upsample_lab.drawing.pictures import pattern_grid
from upsample_lab.metrics.levels import pattern_levels

STEPS, FINE_STEPS, GREY = 800, 400, 192
FLAT_PX = 96  # of uniform images: so large that no border is seen in the middle half


class Autoencoder(nn.Module):
    """As its user wrote it."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU()
        )
        self.latent = nn.Conv2d(2 * width, 12, 1)
        self.up1 = nn.ConvTranspose2d(12, width, 3, stride=2, padding=1, output_padding=1)
        self.mid = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.up2 = nn.ConvTranspose2d(width, width, 3, stride=2, padding=1, output_padding=1)
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.up2(self.mid(self.up1(self.latent(self.encoder(images))))))


def train(model: nn.Module, images: Tensor, parameters: list[nn.Parameter], steps: int) -> nn.Module:
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = F.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def fine_tune(model: nn.Module, images: Tensor, steps: int) -> nn.Module:
    """The recipe: the changed layers alone."""
    own = tuple(f"{change.path}." for change in changes(model).each)
    return train(model, images, [value for name, value in model.named_parameters() if name.startswith(own)], steps)


@torch.no_grad()
def figures(model: nn.Module, test: Tensor) -> tuple[float, float, Tensor]:
    """PSNR of the test images in dB, levels of the pattern of uniform images, and what becomes of `GREY`."""
    psnr = (-10 * (model(test) - test).square().mean((1, 2, 3)).log10()).mean()
    flat = model(torch.arange(32, 256, 32).div(255).view(-1, 1, 1, 1).expand(-1, 3, FLAT_PX, FLAT_PX))
    grey = model(torch.full((1, 3, FLAT_PX, FLAT_PX), GREY / 255))[0]
    middle = FLAT_PX // 2 - 16
    return float(psnr), pattern_levels(flat, 4).rms_levels, grey[:, middle : middle + 32, middle : middle + 32]


def pictures_in(folder: Path, count: int) -> Tensor:
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    pictures = [torch.from_numpy(np.array(Image.open(path).convert("RGB"))) for path in chosen]
    return torch.stack(pictures).movedim(3, 1) / 255


def main(words: list[str] | None = None, steps: int = STEPS, fine_steps: int = FINE_STEPS) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args(words)
    images, test = pictures_in(given.folder / "train", 4000), pictures_in(given.folder / "test", 500)
    torch.manual_seed(0)
    model = Autoencoder()
    model = train(model, images, list(model.parameters()), steps)

    sample = images[:16]
    cured = {"as trained": model, "balanced": balance(model, inputs=sample)}
    cured["balanced, fine-tuned"] = fine_tune(balance(model, parametrize=True), images, fine_steps)
    for start in ("match", "random"):
        swapped = swap(model, "nearest", kinds=("deconv",), init=start, inputs=sample)
        cured[f"nearest, {start}"] = swapped
        again = swap(model, "nearest", kinds=("deconv",), init=start, inputs=sample)
        cured[f"nearest, {start}, fine-tuned"] = fine_tune(again, images, fine_steps)
    print(changes(cured["balanced"]), changes(cured["nearest, match"]), sep="\n\n", end="\n\n")

    print("| model | PSNR (dB) | pattern of uniform images (levels) |\n| --- | --- | --- |")
    tiles, heads = [], []
    for name, one in cured.items():
        psnr, levels, tile = figures(one, test)
        print(f"| {name} | {psnr:.2f} | {levels:.2f} |")
        if name in ("as trained", "balanced, fine-tuned", "nearest, match, fine-tuned"):
            tiles.append(tile)
            heads.append(f"{name.partition(',')[0]}: {levels:.2f} levels")
    if given.picture is not None:
        Image.fromarray(pattern_grid({f"grey {GREY}": torch.stack(tiles)}, heads)).save(given.picture)


if __name__ == "__main__":
    main()
