"""Sweeps on a real Slurm, started here: requeued, killed, cancelled, continued elsewhere; every step is done once."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launchers.conftest import StartSweep
from tests.launchers.slurm import SlurmCluster, missing
from tests.launchers.sweeping import BREAKABLE, results, resumed, running, runs_in, status, wait_for

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the [slurm] extra")
pytest.importorskip("joblib", reason="needs the [parallel] extra")
pytestmark = [pytest.mark.process, pytest.mark.slurm, pytest.mark.skipif(bool(missing()), reason=missing())]

SLURM = ("hydra/launcher=slurm", "hydra.launcher.timeout_min=30")
PARALLEL = ("hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
PAIR = ("upsample=deconv/k3,nearest", "seed=0")
GRID = ("upsample=deconv/k3,nearest", "seed=0,1")


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    folder = Path(tempfile.mkdtemp(prefix="upsample-lab-slurm-"))  # pytest's own are closed to munge's user
    folder.chmod(0o755)
    started = SlurmCluster(folder)
    try:
        started.start()
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder)


def test_one_sweep_under_several_launchers_ends_as_if_undisturbed(
    cluster: SlurmCluster, start_sweep: StartSweep, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    place = f"output_root={out}"
    words = (*BREAKABLE, *GRID, place)

    # On Slurm: one run is queued again, one is killed; both go on. Then the whole is cancelled.
    first = start_sweep(*SLURM, *BREAKABLE, *PAIR, place, environment=cluster.environment)
    pair = wait_for("two runs in the middle", lambda: len(running(out)) == 2 and running(out))
    pids, jobs = {run: status(run)["pid"] for run in pair}, cluster.jobs_of(pair)
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)  # hold this moment, however slow the scheduler's commands are
    requeued, killed = pair
    cluster.call("scontrol", "requeue", jobs[requeued])
    os.kill(pids[killed], signal.SIGKILL)
    for job in jobs.values():
        cluster.start_now(job)
    wait_for("both to go on", lambda: resumed(pair, pids))
    os.kill(first.process.pid, signal.SIGTERM)
    assert first.wait() == 143, first.err
    cluster.call("scancel", "--user=root")
    wait_for("the end of all jobs", lambda: not cluster.unfinished())

    # Under joblib, as part of a larger grid, broken off again
    second = start_sweep(*PARALLEL, *words)
    wait_for("a run in the middle", lambda: running(out) or second.process.poll() is not None)
    os.kill(second.process.pid, signal.SIGTERM)
    assert second.wait() == 143, second.err

    # By both at once: each leaves alone what the other holds
    both = start_sweep(*SLURM, *words, environment=cluster.environment), start_sweep(*PARALLEL, *words)
    for sweep in both:
        assert sweep.wait() in (0, 3), sweep.err
    finished = start_sweep(*words)
    assert finished.wait() == 0, finished.err
    assert "4 runs: 4 complete" in finished.out
    assert finished.out.count("complete already") == 4

    undisturbed = start_sweep(*BREAKABLE, *GRID, f"output_root={tmp_path / 'undisturbed'}")
    assert undisturbed.wait() == 0, undisturbed.err
    assert len(runs_in(out)) == 4
    assert results(out) == results(tmp_path / "undisturbed")


def test_no_controller_is_one_line(start_sweep: StartSweep, tmp_path: Path) -> None:
    conf = tmp_path / "slurm.conf"
    conf.write_text("ClusterName=none\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort=9\nAuthType=auth/none\n")
    sweep = start_sweep(*SLURM, *BREAKABLE, *GRID, "output_root=out", environment={"SLURM_CONF": str(conf)})
    assert sweep.wait() == 2
    assert sweep.err.startswith("error: hydra/launcher=slurm: the controller does not answer")
    assert sweep.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
