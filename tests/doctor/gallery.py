"""Models of other people, written as their users write them and no wider than a test needs, with the sites they have.

None knows this package. `GALLERY` names each with its input and every site that the doctor must find: path, kind,
scale, and how often a forward pass comes by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Expected = tuple[str, str, tuple[float, float], int]


class DcganGenerator(nn.Module):
    """Radford et al., arXiv:1511.06434, as in PyTorch's example of it."""

    def __init__(self, nz: int = 16, ngf: int = 8, nc: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 8),
            nn.ReLU(True),
        ]
        for wide, narrow in ((8, 4), (4, 2), (2, 1)):
            layers += [nn.ConvTranspose2d(ngf * wide, ngf * narrow, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(ngf * narrow), nn.ReLU(True)]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, input: Tensor) -> Tensor:
        return self.main(input)


class UnetBlock(nn.Module):
    """pix2pix's recursive block (Isola et al., CVPR 2017): down, the blocks inside, up, and a skip around them."""

    def __init__(self, outer: int, inner: int, sub: nn.Module | None = None, outermost: bool = False) -> None:
        super().__init__()
        self.outermost = outermost
        down = nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1)
        up = nn.ConvTranspose2d(inner * (1 if sub is None else 2), outer, 4, 2, 1)
        if outermost:
            assert sub is not None
            model = [down, sub, nn.ReLU(True), up, nn.Tanh()]
        elif sub is None:
            model = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, nn.InstanceNorm2d(outer)]
        else:
            down_part = [nn.LeakyReLU(0.2, True), down, nn.InstanceNorm2d(inner)]
            model = [*down_part, sub, nn.ReLU(True), up, nn.InstanceNorm2d(outer), nn.Dropout(0.5)]
        self.model = nn.Sequential(*model)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Pix2Pix(nn.Module):
    def __init__(self, ngf: int = 6) -> None:
        super().__init__()
        block = UnetBlock(ngf * 4, ngf * 4)
        block = UnetBlock(ngf * 2, ngf * 4, block)
        block = UnetBlock(ngf, ngf * 2, block)
        self.model = UnetBlock(3, ngf, block, outermost=True)

    def forward(self, input: Tensor) -> Tensor:
        return self.model(input)


class SegNet(nn.Module):
    """Badrinarayanan et al., arXiv:1511.00561: unpooling to where the encoder's maxima were."""

    def __init__(self, classes: int = 5, width: int = 8) -> None:
        super().__init__()
        self.enc1, self.enc2 = self.block(3, width), self.block(width, width)
        self.dec2, self.dec1 = self.block(width, width), nn.Conv2d(width, classes, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2, 2)

    @staticmethod
    def block(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.enc1(x)
        size1 = x.size()
        x, idx1 = self.pool(x)
        x = self.enc2(x)
        size2 = x.size()
        x, idx2 = self.pool(x)
        x = self.dec2(self.unpool(x, idx2, output_size=size2))
        return self.dec1(F.max_unpool2d(x, idx1, 2, 2, output_size=size1))


class Vae(nn.Module):
    """A convolutional VAE whose decoder interpolates; gives (reconstruction, mu, logvar)."""

    def __init__(self, latent: int = 8, width: int = 12) -> None:
        super().__init__()
        self.width = width
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU(), nn.Flatten()
        )
        self.fc_mu, self.fc_logvar = nn.Linear(width * 256, latent), nn.Linear(width * 256, latent)
        self.fc = nn.Linear(latent, width * 256)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, 3, 3, padding=1)

    def decode(self, z: Tensor) -> Tensor:
        h = F.relu(self.fc(z)).view(-1, self.width, 16, 16)
        h = F.relu(self.conv1(F.interpolate(h, scale_factor=2)))
        h = F.relu(self.conv2(F.interpolate(h, scale_factor=2, mode="bilinear", align_corners=False)))
        return torch.sigmoid(self.out(h))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encoder(x)
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.decode(z), mu, logvar


class Espcn(nn.Module):
    """Shi et al., CVPR 2016, scale 3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 5, 1, 2), nn.Conv2d(16, 8, 3, 1, 1)
        self.conv3 = nn.Conv2d(8, 9, 3, 1, 1)
        self.pixel_shuffle = nn.PixelShuffle(3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.conv1(x))
        x = torch.tanh(self.conv2(x))
        return torch.sigmoid(self.pixel_shuffle(self.conv3(x)))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class SrResNet(nn.Module):
    """Ledig et al., CVPR 2017, scale 4: two sub-pixel convolutions, each with a PReLU behind."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*[Residual(width) for _ in range(2)])
        up = [[nn.Conv2d(width, width * 4, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()] for _ in range(2)]
        self.upsampling = nn.Sequential(*up[0], *up[1])
        self.tail = nn.Conv2d(width, 3, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        return torch.clamp(self.tail(self.upsampling(self.body(x) + x)) * 0.5 + 0.5, 0.0, 1.0)


class ModulatedConv(nn.Module):
    """StyleGAN2's (Karras et al., CVPR 2020): weights made in the forward, a group for each image of the batch."""

    def __init__(self, inside: int, outside: int, style: int, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outside, inside, 4 if up else 3, 4 if up else 3))
        self.modulation = nn.Linear(style, inside)
        self.up, self.inside, self.outside = up, inside, outside

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        n, _, h, w = x.shape
        weight = self.weight * (1 + self.modulation(style)).view(n, 1, self.inside, 1, 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4], keepdim=True) + 1e-8)
        x = x.reshape(1, n * self.inside, h, w)
        if self.up:
            weight = weight.transpose(1, 2).reshape(n * self.inside, self.outside, 4, 4)
            out = F.conv_transpose2d(x, weight * 2, padding=1, stride=2, groups=n)
        else:
            out = F.conv2d(x, weight.view(n * self.outside, self.inside, 3, 3), padding=1, groups=n)
        return out.view(n, self.outside, *out.shape[-2:])


class StyleBlock(nn.Module):
    def __init__(self, inside: int, outside: int, style: int) -> None:
        super().__init__()
        self.conv0 = ModulatedConv(inside, outside, style, up=True)
        self.conv1 = ModulatedConv(outside, outside, style, up=False)
        self.to_rgb = nn.Conv2d(outside, 3, 1)
        self.noise = nn.Parameter(torch.tensor(0.02))

    def forward(self, x: Tensor, rgb: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv0(x, style)
        x = F.leaky_relu(x + self.noise * torch.randn(len(x), 1, *x.shape[-2:]), 0.2)
        x = F.leaky_relu(self.conv1(x, style), 0.2)
        rgb = F.interpolate(rgb, scale_factor=2, mode="bilinear", align_corners=False)
        return x, rgb + self.to_rgb(x)


class StyleGenerator(nn.Module):
    def __init__(self, style: int = 16, width: int = 12) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(style, style), nn.LeakyReLU(0.2), nn.Linear(style, style))
        self.const = nn.Parameter(torch.ones(1, width, 8, 8))
        self.to_rgb = nn.Conv2d(width, 3, 1)
        self.blocks = nn.ModuleList([StyleBlock(width, width, style) for _ in range(3)])

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        style = self.mapping(z)
        x = self.const.repeat(len(z), 1, 1, 1)
        rgb = self.to_rgb(x)
        for block in self.blocks:
            x, rgb = block(x, rgb, style)
        return {"image": torch.tanh(0.3 * rgb), "style": style}


class Fpn(nn.Module):
    """Lin et al., CVPR 2017: laterals, each added to the level above resized to its size, and a mask."""

    def __init__(self, width: int = 12, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU())
        self.stages = nn.ModuleList([nn.Conv2d(width, width, 3, 2, 1) for _ in range(2)])
        self.laterals = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in range(3)])
        self.smooth = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(3)])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> dict[str, Any]:
        features = [self.stem(x)]
        for stage in self.stages:
            features.append(F.relu(stage(features[-1])))
        levels = [lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True)]
        for i in (1, 0):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[-2:], mode="nearest")
        levels = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
        mask = F.interpolate(self.head(levels[0]), size=x.shape[-2:], mode="bilinear", align_corners=False)
        return {"mask": mask, "levels": tuple(levels)}


class DoubleConv(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inside, inside // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(inside, outside)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        x1 = self.up(x1)
        dy, dx = x2.size(2) - x1.size(2), x2.size(3) - x1.size(3)
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class SegmentationUnet(nn.Module):
    """Ronneberger et al., MICCAI 2015, as the widely used PyTorch version has it: pads where sizes are odd."""

    def __init__(self, classes: int = 2, width: int = 8) -> None:
        super().__init__()
        self.inc = DoubleConv(3, width)
        self.down1, self.down2 = DoubleConv(width, 2 * width), DoubleConv(2 * width, 4 * width)
        self.up1, self.up2 = Up(4 * width, 2 * width), Up(2 * width, width)
        self.outc = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)
        x2 = self.down1(F.max_pool2d(x1, 2))
        x3 = self.down2(F.max_pool2d(x2, 2))
        return self.outc(self.up2(self.up1(x3, x2), x1))


class Guided(nn.Module):
    """Depth, enlarged under the guidance of a photograph: two inputs of two sizes."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.depth_net, self.guide_net = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(3, width, 3, padding=1)
        self.up1 = nn.Upsample(scale_factor=2, mode="nearest")
        self.up2 = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.mid, self.fuse = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, depth: Tensor, guide: Tensor) -> Tensor:
        x = F.relu(self.depth_net(depth))
        x = F.relu(self.mid(self.up1(x)))
        x = F.relu(self.up2(x))
        return torch.sigmoid(self.fuse(torch.cat([x, F.relu(self.guide_net(guide))], 1)))


class Recursive(nn.Module):
    """One block for every octave, as in Laplacian pyramids with shared weights (Lai et al., TPAMI 2018)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.octave = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(width, width, 4, 2, 1)
        )
        self.upscale = nn.ConvTranspose2d(3, 3, 4, 2, 1, bias=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        features, image, outputs = self.head(x), x, []
        for _ in range(2):
            features = self.octave(features)
            image = self.upscale(image) + 0.3 * self.tail(features)
            outputs.append(image)
        return outputs


class Progressive(nn.Module):
    """Grows until it is large enough, and refines again where the image is bright: the input decides the path."""

    def __init__(self, width: int = 8, target: int = 64) -> None:
        super().__init__()
        self.target = target
        self.head, self.rgb = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 1)
        self.grow = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.refine = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.head(x))
        while x.shape[-1] < self.target:
            x = F.relu(self.grow(x))
            if x.mean().item() > 0.1:
                x = x + F.relu(self.refine(x))
        return torch.sigmoid(self.rgb(x))


# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exhibit:
    make: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    sites: tuple[Expected, ...]


def picture(*shape: int) -> Tensor:
    """Images with the spectrum of photographs, 1/f, in 0…1."""
    height, width = shape[-2:]
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)
    radius = (down.square() + across.square()).sqrt().clamp_min(1 / max(height, width))
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    image = torch.fft.ifft2(torch.fft.fft2(noise) / radius).real
    return (0.5 + 0.2 * image / image.std()).clamp(0, 1)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def deconvs(*paths: str) -> tuple[Expected, ...]:
    return tuple((path, "deconv", (2, 2), 1) for path in paths)


GALLERY: dict[str, Exhibit] = {
    "dcgan": Exhibit(
        DcganGenerator,
        lambda: noise(8, 16, 1, 1),
        (("main.0", "deconv", (1, 1), 1), *deconvs("main.3", "main.6", "main.9", "main.12")),
    ),
    "pix2pix": Exhibit(
        Pix2Pix,
        lambda: picture(2, 3, 64, 64),
        deconvs("model.model.1.model.3.model.3.model.3", "model.model.1.model.3.model.5", "model.model.1.model.5",
                "model.model.3"),
    ),
    "segnet": Exhibit(
        SegNet,
        lambda: picture(2, 3, 64, 64),
        (("unpool", "unpool", (2, 2), 1), (":max_unpool2d#1", "unpool", (2, 2), 1)),
    ),
    "vae": Exhibit(
        Vae,
        lambda: picture(4, 3, 64, 64),
        ((":interpolate#1", "resize", (2, 2), 1), (":interpolate#2", "resize", (2, 2), 1)),
    ),
    "espcn": Exhibit(Espcn, lambda: picture(2, 1, 32, 32), (("pixel_shuffle", "pixel_shuffle", (3, 3), 1),)),
    "srresnet": Exhibit(
        SrResNet,
        lambda: picture(2, 3, 24, 24),
        (("upsampling.1", "pixel_shuffle", (2, 2), 1), ("upsampling.4", "pixel_shuffle", (2, 2), 1)),
    ),
    "stylegan": Exhibit(
        StyleGenerator,
        lambda: noise(4, 16),
        tuple(
            site
            for i in range(3)
            for site in (
                (f"blocks.{i}.conv0:conv_transpose2d#1", "deconv", (2, 2), 1),
                (f"blocks.{i}:interpolate#1", "resize", (2, 2), 1),
            )
        ),
    ),
    "fpn": Exhibit(
        Fpn,
        lambda: picture(2, 3, 64, 64),
        tuple((f":interpolate#{i}", "resize", (2, 2), 1) for i in (1, 2, 3)),
    ),
    "segmentation_unet": Exhibit(SegmentationUnet, lambda: picture(2, 3, 61, 75), deconvs("up1.up", "up2.up")),
    "guided": Exhibit(
        Guided,
        lambda: (picture(2, 1, 16, 16), picture(2, 3, 64, 64)),
        (("up1", "resize", (2, 2), 1), ("up2", "deconv", (2, 2), 1)),
    ),
    "recursive": Exhibit(
        Recursive,
        lambda: picture(2, 3, 16, 16),
        (("octave.2", "deconv", (2, 2), 2), ("upscale", "deconv", (2, 2), 2)),
    ),
    "progressive": Exhibit(Progressive, lambda: picture(2, 3, 16, 16), (("grow", "deconv", (2, 2), 2),)),
}  # fmt: skip
