"""A small autoencoder in plain PyTorch, as an example for `diagnose`: its kernels of 3 do not fit their stride of 2.

python decoder.py FOLDER_OF_IMAGES decoder.safetensors
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms.functional import to_tensor


class Autoencoder(nn.Module):
    """Colour images, a quarter as large in the middle."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU()
        )
        self.up1 = nn.ConvTranspose2d(width, width, 3, 2, 1, 1)
        self.up2 = nn.ConvTranspose2d(width, 3, 3, 2, 1, 1)

    def forward(self, x):
        return self.up2(torch.relu(self.up1(self.encoder(x)))).sigmoid()


def train(folder: str, steps: int = 150, side: int = 64) -> Autoencoder:
    """Reconstruct crops of a folder's photographs."""
    torch.manual_seed(0)
    images = [to_tensor(Image.open(path).convert("RGB")) for path in sorted(Path(folder).rglob("*.png"))]
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(steps):
        crops = []
        for i in torch.randint(len(images), (16,)):
            top, left = (int(torch.randint(n - side, ())) for n in images[i].shape[-2:])
            crops.append(images[i][:, top : top + side, left : left + side])
        batch = torch.stack(crops)
        loss = nn.functional.mse_loss(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            print(step, f"{loss.item():.4f}")
    return model


if __name__ == "__main__":
    save_file(train(sys.argv[1]).state_dict(), sys.argv[2])
