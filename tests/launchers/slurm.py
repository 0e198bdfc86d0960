"""A Slurm cluster of one node on loopback, in one temporary folder: munge, the controller, the node's daemon.

Needs Debian's slurm-wlm and munge (`apt-get install -y --no-install-recommends slurm-wlm munge`) and to be root.
Nothing outside the folder is written, nothing listens beyond 127.0.0.1, and what was started is ended by process id.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.launchers.sweeping import environment_of, status, wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
SBIN = "/usr/sbin"

CONFIG = """\
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,bf_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
RequeueExit=137,138,143
KillWait=2
ReturnToService=2
MinJobAge=3600
PlugStackConfig={folder}/plugstack.conf
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=60 State=UP
"""

# Without accounting there is no sacct, and submitit learns of a dead job only from it. This one asks the controller.
SACCT = """\
#!{python}
import subprocess, sys
print("JobID|State|NodeList")
jobs = subprocess.run(["scontrol", "-o", "show", "job"], capture_output=True, text=True).stdout
for line in jobs.splitlines():
    job = dict(part.split("=", 1) for part in line.split() if "=" in part)
    if "JobId" in job:
        array, task = job.get("ArrayJobId", job["JobId"]), job.get("ArrayTaskId")
        name = array if task is None else array + "_" + (task if task.isdigit() else "[" + task + "]")
        print("|".join((name, job["JobState"], job.get("NodeList", "None assigned"))))
"""


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    absent = [name for name in PROGRAMS if _find(name) is None]
    if absent:
        return f"needs slurm-wlm and munge ({', '.join(absent)} not found)"
    return "" if os.geteuid() == 0 else "needs to be root, as munge and slurmd do"


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}")


class SlurmCluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}:{SBIN}",
        }

    def start(self) -> None:
        for name in ("munge", "state", "spool", "bin"):
            (self.folder / name).mkdir()
        ports = {"controller_port": _free_port(), "node_port": _free_port()}
        (self.folder / "slurm.conf").write_text(CONFIG.format(folder=self.folder, **ports))
        (self.folder / "plugstack.conf").write_text("")
        sacct = self.folder / "bin" / "sacct"
        sacct.write_text(SACCT.format(python=sys.executable))
        sacct.chmod(0o755)
        self._start_munge()
        self._daemon("slurmctld", "-D", "-i", "-f", str(self.folder / "slurm.conf"))
        self._daemon("slurmd", "-D", "-N", "localhost", "-f", str(self.folder / "slurm.conf"))
        wait_for("the node to be idle", lambda: "idle" in self.call("sinfo", "--noheader", "--format=%T"), 60)

    def _start_munge(self) -> None:
        folder, user = self.folder / "munge", pwd.getpwnam("munge")
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        for path, mode in ((key, 0o400), (folder, 0o755)):
            path.chmod(mode)
            os.chown(path, user.pw_uid, user.pw_gid)
        options = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid", "seed-file": "seed"}
        # munged trusts no folder that others may write above its socket, such as /tmp: --force makes that a warning
        words = ["--foreground", "--force", *(f"--{name}={folder / file}" for name, file in options.items())]
        self._daemon("munged", *words, user="munge", group="munge")
        wait_for("munge's socket", (folder / "socket").exists, 30)

    def _daemon(self, name: str, *words: str, user: str | None = None, group: str | None = None) -> None:
        path = _find(name)
        assert path is not None
        with (self.folder / f"{name}.out").open("wb") as out:
            self.daemons.append(
                subprocess.Popen(
                    [path, *words],
                    stdout=out,
                    stderr=out,
                    env={**os.environ, **self.environment},
                    user=user,
                    group=group,
                    extra_groups=[],
                    start_new_session=True,  # Ctrl-C of the tests must not end it before its jobs
                )
            )

    def call(self, *words: str) -> str:
        environment = {**os.environ, **self.environment}
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False).stdout

    def unfinished(self) -> list[str]:
        return self.call("squeue", "--noheader", "--array", "--format=%A").split()

    def jobs_of(self, runs: Sequence[Path]) -> dict[Path, str]:
        """The job that trains each run, as `<array>_<task>`, from the environment of the process in its status file."""
        jobs: dict[Path, str] = {}
        for run in runs:
            variables = dict(item.split(b"=", 1) for item in environment_of(status(run)["pid"]) if b"=" in item)
            jobs[run] = f"{variables[b'SLURM_ARRAY_JOB_ID'].decode()}_{variables[b'SLURM_ARRAY_TASK_ID'].decode()}"
        return jobs

    def state(self, job: str) -> str:
        return self.call("squeue", "--noheader", f"--jobs={job}", "--states=all", "--format=%T").strip()

    def start_now(self, job: str) -> None:
        """Let a job that was queued again start at once; Slurm makes it wait for two minutes."""
        wait_for(f"job {job} to be queued again", lambda: self.state(job) in ("PENDING", "RUNNING"))
        self.call("scontrol", "update", f"JobId={job}", "StartTime=now")

    def stop(self) -> None:
        self.call("scancel", "--user=root")
        wait_for("the jobs' ends", lambda: not self.unfinished())
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port
