"""Runs side by side on one machine: broken off in every way, they leave nothing behind and go on to the same result."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.launchers.conftest import StartSweep
from tests.launchers.sweeping import BREAKABLE, Sweep, results, running, runs_in, status, wait_for

pytestmark = pytest.mark.process

pytest.importorskip("joblib", reason="needs the [parallel] extra")

PARALLEL = ("hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
GRID = ("upsample=deconv/k3,nearest,bilinear", "seed=0")


def assert_nothing_left(sweep: Sweep) -> None:
    wait_for(f"the end of {sweep.processes()}", lambda: not sweep.processes(), 30)


@pytest.mark.broken_off
def test_a_sweep_broken_off_in_every_way_ends_as_if_it_had_not_been(start_sweep: StartSweep, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (*PARALLEL, *BREAKABLE, *GRID, f"output_root={out}")

    asked = start_sweep(*words)
    wait_for("two runs in the middle", lambda: len(running(out)) == 2)
    os.kill(asked.process.pid, signal.SIGTERM)
    assert asked.wait() == 143, asked.err
    assert_nothing_left(asked)
    assert "interrupted" in [status(run)["state"] for run in runs_in(out)], "the first to end has saved"
    assert "3 runs: 3 to train" in asked.out
    assert "0 of 3 runs complete, 2 interrupted, 1 not started" in asked.out

    interrupted = start_sweep(*words)
    wait_for("a run in the middle", lambda: running(out))
    os.killpg(interrupted.process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    assert interrupted.wait() == 130, interrupted.err
    assert_nothing_left(interrupted)
    assert "interrupted" in [status(run)["state"] for run in runs_in(out)]
    assert "2 to resume, 1 to train" in interrupted.out

    killed = start_sweep(*words)
    victim = wait_for("a run in the middle", lambda: running(out))[0]
    os.kill(status(victim)["pid"], signal.SIGKILL)
    assert killed.wait() == 1, killed.err
    assert_nothing_left(killed)
    assert "error: the launcher stopped: TerminatedWorkerError" in killed.err
    assert "Traceback" not in killed.err
    assert f"process {status(victim)['pid']}" in killed.out
    assert "interrupted" in killed.out

    finished = start_sweep(*words)
    assert finished.wait() == 0, finished.err
    assert "3 of 3 runs complete" in finished.out
    assert "resumed at step" in finished.out

    undisturbed = start_sweep(*BREAKABLE, *GRID, f"output_root={tmp_path / 'undisturbed'}")
    assert undisturbed.wait() == 0, undisturbed.err
    assert results(out) == results(tmp_path / "undisturbed")


def test_failed_runs_stop_no_other(start_sweep: StartSweep, tmp_path: Path) -> None:
    words = (*TINY, "optim=sgd", "model.output=linear", "model.norm=none", "optim.schedule=constant", "output_root=out")
    grid = ("optim.lr=100,0.001", "trainer.max_steps=3,4")
    first = start_sweep(*PARALLEL, *words, *grid)
    assert first.wait() == 1
    assert "2 of 4 runs complete, 2 failed" in first.out
    again = start_sweep(*PARALLEL, *words, *grid)
    assert again.wait() == 1
    assert "4 runs: 2 complete, 2 to try again" in again.out
    assert again.out.count("complete already") == 2
    larger = start_sweep(*words, "optim.lr=0.001", "trainer.max_steps=3,4,5")
    assert larger.wait() == 0
    assert "3 runs: 2 complete, 1 to train" in larger.out
