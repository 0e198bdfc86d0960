"""metrics.jsonl and TensorBoard: the frozen names, what a resumed run cuts off, and hparams in the same run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, get_experiment
from tensorboard.plugins.hparams.backend_context import Context

from tests.training.names import ARTIFACTS, TEST_METRICS, TRAIN_METRICS, VAL_METRICS
from upsample_lab.catalogue import facts_of
from upsample_lab.compose import compose_one
from upsample_lab.runs.journal import read_reports
from upsample_lab.training.dashboard import charts, telling_settings
from upsample_lab.training.display import SHOW_ALL
from upsample_lab.training.tracking import Tracker, write_columns

EVERYTHING = {"scalars": 0, "images": 0, "tensors": 0, "histograms": 0}


def board(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance=EVERYTHING)
    accumulator.Reload()
    return accumulator


def test_the_command_that_is_printed_shows_every_number_and_picture(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    steps = 1500  # more than TensorBoard keeps by itself, of either
    with Tracker(run) as tracker:
        for step in range(steps):
            tracker.report(step, {"train/loss": step / 8}, time_sec=0.5)
        for step in range(20):
            tracker.image("reconstructions", np.zeros((4, 5, 3), np.uint8), step)
    option, value = SHOW_ALL.split()
    kept = {name: int(count) for name, count in (pair.split("=") for pair in value.split(","))}
    assert option == "--samples_per_plugin"
    multiplexer = EventMultiplexer(tensor_size_guidance=kept)
    multiplexer.AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    served = MultiplexerDataProvider(multiplexer, str(tmp_path))
    asked = {"ctx": RequestContext(), "experiment_id": ""}
    numbers = served.read_scalars(plugin_name="scalars", downsample=kept["scalars"], **asked)[run.name]
    assert len(numbers["train/loss"]) == steps
    pictures = served.read_blob_sequences(plugin_name="images", downsample=kept["images"], **asked)[run.name]
    assert [len(each) for each in pictures.values()] == [20]


def test_both_hold_the_same(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        for step in (1, 2, 3):
            tracker.report(step, {"train/loss": step / 8}, time_sec=0.5)
        tracker.image("reconstructions", np.zeros((4, 5, 3), np.uint8), 3)
    assert [(line["step"], line["train/loss"]) for line in read_reports(tmp_path)] == [
        (1, 0.125),
        (2, 0.25),
        (3, 0.375),
    ]
    assert [(event.step, event.value) for event in board(tmp_path).Scalars("train/loss")] == [
        (1, 0.125),
        (2, 0.25),
        (3, 0.375),
    ]
    assert [event.step for event in board(tmp_path).Images("reconstructions")] == [3]


def test_a_resumed_run_reports_each_step_once(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        for step in range(1, 6):
            tracker.report(step, {"train/loss": 1.0}, time_sec=0)
    with Tracker(tmp_path, resume_step=3) as tracker:
        for step in range(4, 8):
            tracker.report(step, {"train/loss": 2.0}, time_sec=0)
    expected = [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0), (6, 2.0), (7, 2.0)]
    assert [(line["step"], line["train/loss"]) for line in read_reports(tmp_path)] == expected
    assert [(event.step, event.value) for event in board(tmp_path).Scalars("train/loss")] == expected


def test_a_run_killed_before_its_first_checkpoint_starts_again_from_nothing(tmp_path: Path) -> None:
    for loss in (1.0, 2.0):
        with Tracker(tmp_path) as tracker:
            for step in (0, 1):
                tracker.report(step, {"val/loss": loss}, time_sec=0)
    assert [line["val/loss"] for line in read_reports(tmp_path)] == [2.0, 2.0]
    assert [(event.step, event.value) for event in board(tmp_path).Scalars("val/loss")] == [(0, 2.0), (1, 2.0)]


def test_a_run_killed_after_its_last_report_has_its_test_figures_once(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.report(5, {"val/loss": 1.0}, time_sec=0)
        tracker.report(5, {"test/loss": 1.0}, time_sec=0)
    with Tracker(tmp_path, resume_step=5) as tracker:
        tracker.report(5, {"test/loss": 1.0}, time_sec=0)
    names = [set(line) - {"step", "time_sec"} for line in read_reports(tmp_path)]
    assert names == [{"val/loss"}, {"test/loss"}]


def test_a_torn_last_line_is_repaired(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "val/ps')
    assert [line["step"] for line in read_reports(tmp_path)] == [1, 2]
    with Tracker(tmp_path, resume_step=2):
        pass
    assert [json.loads(line) for line in file.read_text().splitlines()] == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_every_line_stays_json(tmp_path: Path, value: float) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.report(1, {"train/loss": value}, time_sec=0)
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["train/loss"] == str(value)


def test_hparams_go_into_the_same_run(tmp_path: Path) -> None:
    config = compose_one("train", ["seed=4"])
    with Tracker(tmp_path) as tracker:
        tracker.begin(telling_settings(config))
        tracker.end(telling_settings(config))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    plugin = board(tmp_path).PluginTagToContent("hparams")
    assert set(plugin) == {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"}


def test_the_catalogue_knows_the_final_figures() -> None:
    assert sorted(facts_of("reconstruct").final) == sorted({*TEST_METRICS, *ARTIFACTS})


def test_charts_show_only_what_is_reported() -> None:
    reported = {*TRAIN_METRICS, *VAL_METRICS}
    assert [tag for own in charts("reconstruct").values() for tag in own.values() if tag not in reported] == []


def test_the_page_of_charts_is_in_the_run(tmp_path: Path) -> None:
    with Tracker(tmp_path) as tracker:
        tracker.begin(telling_settings(compose_one("train", [])))
    (event,) = board(tmp_path).Tensors("custom_scalars__config__")
    page = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    assert [category.title for category in page.category] == list(charts("reconstruct"))
    assert {tag for category in page.category for chart in category.chart for tag in chart.multiline.tag} >= {
        "^val/psnr_db$"
    }


def test_a_row_tells_what_differs_and_little_else() -> None:
    words = ["upsample=nearest", "optim.lr=0.001", "seed=3", "trainer.device=cpu", "model.widths=[8,16]"]
    assert telling_settings(compose_one("train", words)) == {
        "upsample": "nearest",
        "upsample.kernel_size": 3,
        "upsample.order": "resize_first",
        "data": "mnist",
        "model": "small",
        "model.widths": "[8, 16]",
        "conv": "custom",
        "optim": "adam",
        "optim.lr": 0.001,
        "seed": 3,
    }


def experiment(folder: Path) -> api_pb2.Experiment:
    """What TensorBoard's page of runs is told of its columns."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    backend = Context(TBContext(data_provider=provider, multiplexer=multiplexer))
    return get_experiment.Handler(RequestContext(), backend, "", api_pb2.GetExperimentRequest()).run()


def test_the_table_of_runs_has_the_seed_and_the_upsampler_first_and_no_column_that_is_constant(tmp_path: Path) -> None:
    variants = ([], ["upsample=bilinear"], ["upsample.kernel_size=3"], ["optim.lr=0.01"])
    grid = [
        compose_one("train", [*words, f"seed={seed}", "trainer.max_steps=5", "data=glyphs"])
        for words in variants
        for seed in (0, 1)
    ]
    for number, config in enumerate(grid):
        (tmp_path / f"run{number}").mkdir()
        with Tracker(tmp_path / f"run{number}") as tracker:
            tracker.begin(telling_settings(config))
            tracker.end(telling_settings(config))
    alone = [info.name for info in experiment(tmp_path / "run4").hparam_infos]
    assert alone[:2] == ["seed", "upsample"]
    assert {"data", "upsample.kernel_size"} < set(alone)
    for _ in range(2):  # the same sweep again leaves one file
        write_columns(tmp_path, grid)
        columns = experiment(tmp_path)
        assert [info.name for info in columns.hparam_infos] == ["seed", "upsample", "optim.lr", "upsample.kernel_size"]
        figures = [info.name.tag for info in columns.metric_infos]
        assert figures[:3] == ["test/psnr_db", "test/ssim", "uniform/pattern_rms_levels"]
        assert sorted(figures) == sorted({*TEST_METRICS, *ARTIFACTS})
    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == 1
