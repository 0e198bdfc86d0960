"""Twenty runs in one process leave nothing behind in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.training.leaks import measure

pytestmark = pytest.mark.run

RUNS = 20
GROWTH = 0.05  # of the resident memory; a run that stayed, its images and graph, has a megabyte and more


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_many_runs_in_one_process_leave_nothing_behind(tmp_path: Path) -> None:
    before, after = measure(tmp_path, RUNS)
    assert after.resident_mb < (1 + GROWTH) * before.resident_mb
    assert after.file_count <= before.file_count
    assert after.thread_count <= before.thread_count
