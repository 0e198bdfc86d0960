"""A sweep on a real Ray head and worker, started here on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.launchers.conftest import StartSweep
from tests.launchers.sweeping import wait_for

pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="needs the [ray] extra")
pytestmark = [pytest.mark.process, pytest.mark.ray]

RAY = str(Path(sys.executable).with_name("ray"))
HEAD, WORKER = "127.0.0.2", "127.0.0.3"  # Ray would replace 127.0.0.1 by the outer address


@pytest.fixture
def address() -> Iterator[str]:
    """The address of a head without cores, whose one worker has a core."""
    with socket.socket() as probe:
        probe.bind((HEAD, 0))
        found = f"{HEAD}:{probe.getsockname()[1]}"
    port = found.rpartition(":")[2]
    common = ["--disable-usage-stats", "--block", "--object-store-memory=80000000"]
    head = ["--head", f"--node-ip-address={HEAD}", f"--port={port}", "--include-dashboard=false", "--num-cpus=0"]
    worker = [f"--address={found}", f"--node-ip-address={WORKER}", "--num-cpus=1"]
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # short: Ray's socket paths have little room
        processes = []
        try:
            processes.append(_ray_start(folder, *head, f"--temp-dir={folder}", *common))
            wait_for("Ray's head", lambda: _answers(found) or processes[0].poll() is not None)
            processes.append(_ray_start(folder, *worker, *common))
            yield found
        finally:
            for process in reversed(processes):
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _ray_start(folder: str, *words: str) -> subprocess.Popen[bytes]:
    with (Path(folder) / "start.log").open("ab") as log:
        return subprocess.Popen([RAY, "start", *words], stdout=log, stderr=log, start_new_session=True)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_sweep_on_ray_and_the_same_again(start_sweep: StartSweep, address: str, tmp_path: Path) -> None:
    words = ("hydra/launcher=ray_cluster", *TINY, "trainer.max_steps=2", "seed=0,1", "output_root=out")
    sweep = start_sweep(*words, environment={"RAY_ADDRESS": address})
    assert sweep.wait() == 0, sweep.err
    assert "2 of 2 runs complete" in sweep.out
    again = start_sweep(*words[1:])
    assert again.wait() == 0, again.err
    assert again.out.count("complete already") == 2
