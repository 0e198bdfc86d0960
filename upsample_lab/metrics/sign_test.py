"""Whether images have a pattern in common, or whether chance alone gives their mean one: an exact test by signs."""

import torch
from torch import Tensor

FLIPS = 2048
"""Ways to give the images signs, the observed one included: the smallest p-value is one of 2,048."""

_STRIDE = 1253
"""Odd, so that 2,048 images in a row have 2,048 codes; and the codes of the first 12 images are independent bits."""


def sign_blocks(patterns: Tensor, first_image: int) -> Tensor:
    """The patterns of a batch, `[N, ...]`, added up by the images' codes: `[FLIPS, ...]`, to be summed over batches.

    Args:
        first_image: how many images came before this batch; a set's code does not depend on how it is cut.
    """
    codes = torch.arange(first_image, first_image + len(patterns)) * _STRIDE % FLIPS
    return patterns.new_zeros(FLIPS, *patterns.shape[1:]).index_add(0, codes.to(patterns.device), patterns)


def sign_test(blocks: Tensor) -> float:
    """Chance that the sum of the patterns has so much energy where each might as well be its negative: in (0, 1].

    `blocks` is the sum of `sign_blocks` over all batches. Under the null hypothesis a pattern has no preferred sign,
    so the sum's energy is compared with that under other signs: p is the share of sign vectors that give at least as
    much. The signs belong to whole images. So nothing is assumed of pixels, phases or channels, which may depend on
    each other in any way; images are taken for independent.

    The sign vectors are a group, the words of a linear code: image i has a code a_i of 11 bits, and in vector b the
    sign (-1)^(a_i . b). For a group the test is exact, without a random number and for any count of images: P(p <= x)
    is at most x for patterns with a symmetric distribution (Hemerik and Goeman, "Exact testing with random
    permutations", TEST 27, 2018, Theorem 1). For others it holds as their count grows. All sums together are one
    Walsh-Hadamard transform of the blocks. n images, up to 12, have 2^(n - 1) different vectors: one image gives p = 1,
    two give at least 1/2, ten at least 1/512.
    """
    sums = blocks.flatten(1)
    width = 1
    while width < FLIPS:
        pairs = sums.unflatten(0, (-1, 2, width))
        sums = torch.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), dim=1).flatten(0, 2)
        width *= 2
    energies = sums.square().sum(dim=1)
    rounding = torch.finfo(energies.dtype).eps ** 0.5  # vectors that differ by the sign of all have the same energy
    return float((energies >= energies[0] * (1 - rounding)).double().mean())
