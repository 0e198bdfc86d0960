"""Run directories in the real formats with made-up figures, for tests and benchmarks of what reads them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from safetensors.numpy import save_file

from upsample_lab.compose import compose_one
from upsample_lab.config import TrainConfig
from upsample_lab.runs.identity import run_name

Figures = Callable[[TrainConfig, np.random.Generator], Mapping[str, float]]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STEPS, REPORTS, VALIDATIONS = 2000, 100, 6


def made_up_figures(config: TrainConfig, random: np.random.Generator) -> dict[str, float]:
    """What a training might end with: the upsampler decides, and the seed adds its noise."""
    quality = 26 + len(config.upsample.name) % 7 / 2
    return {
        "test/psnr_db": quality + 0.1 * random.standard_normal(),
        "test/ssim": 0.96 + 0.002 * random.standard_normal(),
        "test/loss": 0.002,
        "test/phase_variance": abs(1e-4 + 3e-5 * random.standard_normal()),
        "uniform/pattern_rms_levels": 2 * abs(random.standard_normal()) if "deconv" in config.upsample.name else 0.0,
        "test/flat_pattern_rms_levels": abs(random.standard_normal()),
    }


def write_experiment(
    output_root: Path, name: str, variants: Sequence[Sequence[str]], seeds: Sequence[int],
    figures: Figures = made_up_figures, image_count: int = 100,
) -> list[Path]:  # fmt: skip
    """A complete run for each variant (words of the command line) and seed, below `output_root/name`."""
    paths = []
    for words in variants:
        config = compose_one("train", [*words, f"experiment.name={name}", f"output_root={output_root}"])
        text = OmegaConf.to_yaml(OmegaConf.structured(config))
        for seed in seeds:
            seeded = dataclasses.replace(config, seed=seed)
            folder = output_root / name / run_name(seeded)
            command = ["python", "scripts/train.py", *words, f"experiment.name={name}", f"seed={seed}"]
            random = np.random.default_rng([seed, *" ".join(words).encode()])
            write_run(folder, text.replace(f"\nseed: {config.seed}\n", f"\nseed: {seed}\n"), command)
            write_figures(folder, seeded, figures(seeded, random), random, image_count)
            paths.append(folder)
    return paths


def write_run(folder: Path, config_text: str, command: Sequence[str]) -> None:
    """Everything that a run's beginning leaves, and its status."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config_text, encoding="utf-8")
    capsule = {
        "command": " ".join(command),
        "git": {"commit": COMMIT, "diff": "", "clean": True},
        "code": {f"upsample_lab/models/file_{k}.py": f"{k:012x}" for k in range(80)},
        "packages": {"torch": "2.15.0", "numpy": "2.4.6"},
        "machine": {"processor": "made up", "cpu_count": 2, "device": "cpu", "gpu": None},
        "data": {"name": "glyphs", "digest": "00112233aabbccdd", "train": 4000, "notes": []},
    }
    _write_json(folder / "capsule.json", capsule)
    _write_json(folder / "status.json", {"state": "complete", "reason": None})


def write_figures(
    folder: Path, config: TrainConfig, figures: Mapping[str, float], random: np.random.Generator, image_count: int
) -> None:
    """Everything that a run's end leaves."""
    parameters = 10_000 + 1_000 * len(config.upsample.name)
    summary = {
        "data": config.data.name, "upsample": config.upsample.name, "model": config.model.name, "seed": config.seed,
        "steps": STEPS, "best_step": STEPS, "parameters": parameters, "decoder_parameters": parameters // 2,
        "macs_per_image": 100 * parameters, **figures, "seconds": 10.0,
    }  # fmt: skip
    _write_json(folder / "summary.json", summary)
    lines: list[dict[str, float]] = [
        {"step": k * STEPS // REPORTS, "time_sec": k, "train/loss": 1 / (k + 1), "speed/images_per_sec": 9000.0 + k}
        for k in range(1, REPORTS + 1)
    ]
    for k in range(VALIDATIONS):
        rise = figures["test/psnr_db"] * (1 - 0.5**k) + 5
        lines.append({"step": k * STEPS // (VALIDATIONS - 1), "time_sec": k, "val/psnr_db": rise, "val/ssim": 0.9})
    text = "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["step"]))
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    _write_images(folder / "test_images.safetensors", figures["test/psnr_db"], random, image_count)


def _write_images(file: Path, psnr_db: float, random: np.random.Generator, count: int) -> None:
    scores = (psnr_db + random.standard_normal(count)).astype(np.float32)
    values = np.tile(np.array([[150, 500, 134]], dtype=np.int32), (count, 1))
    error = 10 ** (-scores[:, None].astype(np.float64) / 10) * values * np.array([[4.0, 0.1, 1.0]])
    images = np.random.default_rng(0).integers(0, 256, (min(32, count), 1, 28, 28), dtype=np.uint8)
    noisy = np.clip(images + random.normal(0, 9, images.shape), 0, 255).astype(np.uint8)
    tensors: dict[str, Any] = {
        "psnr_db": scores,
        "ssim": np.full(count, 0.96, dtype=np.float32),
        "squared_error": error,
        "region_values": values,
        "originals": images,
        "outputs": noisy,
    }
    save_file(tensors, file)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
