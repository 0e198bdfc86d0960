"""The baselines train the same model: as many weights, in the same order and shapes, with the same loss at step 0."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from upsample_lab.benchmark.baselines import BATCHES, UPSAMPLERS, autoencoder, baseline
from upsample_lab.benchmark.train import folds
from upsample_lab.benchmark.trainings import advance, make_config, make_training, random_images

BATCH = 8
IMAGES = random_images(BATCH)  # one batch holds all of them, so that both ways see the same images


def words(upsample: str, *more: str) -> list[str]:
    return [f"upsample={upsample}", f"trainer.batch_size={BATCH}", "trainer.device=cpu", *more]


@pytest.mark.run
@pytest.mark.parametrize("way", BATCHES)
@pytest.mark.parametrize("upsample", UPSAMPLERS)
def test_same_model_same_first_loss(tmp_path: Path, upsample: str, way: str) -> None:
    loop = baseline(way, make_config(words(upsample)), IMAGES, "cpu")
    theirs = list(loop.model.parameters())
    losses = []
    for conv in ("native", "custom"):
        for fold in folds(upsample):
            more = [f"conv={conv}", *([f"upsample.fold={fold}"] if fold else [])]
            training = make_training(words(upsample, *more), IMAGES)
            ours = list(training.model.parameters())
            assert [parameter.shape for parameter in ours] == [parameter.shape for parameter in theirs]
            with torch.no_grad():
                for own, other in zip(ours, theirs, strict=True):
                    own.copy_(other)
            advance(training, 1)
            losses.append(training.sums.take()["train/loss"])
    loop.step()
    assert losses == pytest.approx([loop.losses[0]] * len(losses), rel=1e-5)


def test_the_tutorials_loop_learns() -> None:
    loop = baseline("tutorial, raw tensors", make_config(words("deconv")), IMAGES, "cpu")
    loop.steps(12)
    assert loop.losses[-1] < loop.losses[0]


def test_per_sample_batches_are_the_same_images() -> None:
    """Every image once an epoch, divided by 255: `ToTensor` and the raw tensors agree."""
    model = autoencoder(make_config(words("nearest")), 1)
    assert sum(p.numel() for p in model.parameters()) > 0
    got = [next(BATCHES[way](IMAGES, BATCH)) for way in BATCHES]
    for batch in got:
        assert sorted(batch.sum((1, 2, 3)).tolist()) == pytest.approx(
            sorted((IMAGES / 255).sum((1, 2, 3)).tolist()), rel=1e-6
        )
