"""The zero-padded spectrum: equal to the FFT's, exact for what is band-limited."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.upsamplers.upsampler_cases import SCALES, image
from upsample_lab.upsamplers import build_upsampler
from upsample_lab.upsamplers.fourier import Fourier, dirichlet_matrix


def by_fft(signal: Tensor, scale: int) -> Tensor:
    """The definition along the last axis: pad the spectrum, move by `½/s - ½` pixels, transform back."""
    size = signal.shape[-1]
    frequencies = torch.fft.fftfreq(size, dtype=torch.float64) * size
    spectrum = torch.fft.fft(signal)
    out = (torch.arange(scale * size, dtype=torch.float64) + 0.5) / scale - 0.5
    waves = torch.exp(2j * torch.pi * frequencies[:, None] * out / size)
    if size % 2 == 0:  # the Nyquist coefficient: half of it to each of the frequencies -n/2 and n/2
        waves[size // 2] = torch.cos(torch.pi * out)
    return (spectrum @ waves).real / size


@pytest.mark.parametrize("size", [1, 2, 5, 8, 33])
@pytest.mark.parametrize("scale", SCALES)
def test_matrix_is_the_padded_spectrum(size: int, scale: int) -> None:
    signal = image(1, size, batch=1, channels=1)[0, 0, 0]
    torch.testing.assert_close(dirichlet_matrix(size, scale) @ signal, by_fft(signal, scale), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(7, 8), (6, 5)], ids=str)
@pytest.mark.parametrize("scale", SCALES)
def test_band_limited_images_are_reproduced(size: tuple[int, int], scale: int) -> None:
    module = build_upsampler("fourier", 1, 1, scale).double()
    assert isinstance(module, Fourier)

    def wave(rows: Tensor, columns: Tensor) -> Tensor:
        (height, width), turn = size, 2 * torch.pi
        vertical = 1 + torch.cos(turn * 2 * rows / height + 0.4)
        return vertical[:, None] * torch.sin(turn * ((width - 1) // 2) * columns / width + 0.1) + 0.5

    small = [torch.arange(n, dtype=torch.float64) for n in size]
    large = [(torch.arange(scale * n, dtype=torch.float64) + 0.5) / scale - 0.5 for n in size]
    torch.testing.assert_close(module.resize(wave(*small)[None, None]), wave(*large)[None, None], rtol=0, atol=1e-12)


def test_equivariant_to_any_fraction_of_a_pixel() -> None:
    module = build_upsampler("fourier", 1, 1, 2).double()
    assert isinstance(module, Fourier)

    def shift(signal: Tensor, pixels: float) -> Tensor:
        frequencies = torch.fft.fftfreq(signal.shape[-1], dtype=torch.float64)
        return torch.fft.ifft(torch.fft.fft(signal) * torch.exp(-2j * torch.pi * frequencies * pixels)).real

    input = image(9, 9, batch=1, channels=1)
    torch.testing.assert_close(module.resize(shift(input, 0.3)), shift(module.resize(input), 0.6), rtol=0, atol=1e-12)
