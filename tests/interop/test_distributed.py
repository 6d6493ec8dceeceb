"""Who takes part in a training, as launchers say it; and a training under torchrun, one process of which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.errors import NeocogError, SettingError
from neocog.interop import distributed
from neocog.interop.distributed import distributed_world, launched, lost_processes, restarts
from neocog.interop.mpi import MpiWorld, mpi_world, started_by_mpi
from neocog.ranks.world import Alone, LostProcessError

SECONDS = 300  # that a training in processes may take on a loaded machine

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1234", "LOCAL_RANK": "1"}
SLURM = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_STEP_NODELIST": "n[01-02]", "SLURM_JOB_ID": "20007"}


def test_torchrun_and_slurm_say_who_takes_part():
    assert launched({}) is None
    assert launched({"SLURM_STEP_NUM_TASKS": "1"}) is None
    assert launched(TORCHRUN) == {name: TORCHRUN[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    told = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "n01", "MASTER_PORT": "20007"}
    assert launched(SLURM) == {**told, "MASTER_PORT": str(20000 + 20007 % 20000)}
    assert launched({**SLURM, "MASTER_ADDR": "b", "MASTER_PORT": "5"}) == {
        **told,
        "MASTER_ADDR": "b",
        "MASTER_PORT": "5",
    }


@pytest.mark.parametrize("changed", [{"MASTER_ADDR": ""}, {"RANK": "2"}, {"RANK": "x"}])
def test_what_does_not_fit_together_is_refused(changed):
    with pytest.raises(SettingError, match=r"MASTER_ADDR|RANK must be below WORLD_SIZE"):
        launched({**TORCHRUN, **changed})


def test_a_second_start_is_told():
    assert restarts({}) == restarts({"TORCHELASTIC_RESTART_COUNT": "?"}) == 0
    assert restarts({"TORCHELASTIC_RESTART_COUNT": "2"}) == restarts({"SLURM_RESTART_COUNT": "2"}) == 2


def test_one_process_is_a_world_of_its_own(monkeypatch):
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    assert isinstance(distributed_world(), Alone)
    assert isinstance(mpi_world(), Alone)
    assert started_by_mpi({"OMPI_COMM_WORLD_SIZE": "2"})
    assert not started_by_mpi({"PMI_SIZE": "1"})


def test_without_pytorch_the_extra_is_named(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)

    def missing(module, extra, user):
        raise NeocogError(f"{user} needs {module}", hint=extra)

    monkeypatch.setattr(distributed, "require", missing)
    with pytest.raises(NeocogError, match="training by several processes needs torch"):
        distributed_world()


def test_what_libraries_say_of_lost_processes_becomes_an_error_of_ours():
    with pytest.raises(LostProcessError) as caught, lost_processes("process 0 is alone"):
        raise RuntimeError("Connection closed by peer\nmore")
    assert caught.value.details == ("cause: Connection closed by peer",)


def test_a_communicator_of_mpi_is_a_world():
    """With the calls that mpi4py has; a process alone gets back what it gives."""

    class Communicator:
        def Get_rank(self):  # noqa: N802 - the names are mpi4py's
            return 0

        def Get_size(self):  # noqa: N802
            return 1

        def Bcast(self, values, root):  # noqa: N802
            assert root == 0

        def Barrier(self):  # noqa: N802
            pass

        def Allgather(self, values, everyone):  # noqa: N802
            everyone[...] = values

        Alltoall = Allgather

    world = MpiWorld(Communicator())
    values, everyone = np.arange(3.0), np.zeros((1, 3))
    world.broadcast(values, 0)
    world.barrier()
    world.all_gather(values, everyone)
    assert (world.rank, world.size, everyone.tolist()) == (0, 1, [[0, 1, 2]])
    world.all_to_all(everyone, received := np.zeros((1, 3)))
    assert received.tolist() == everyone.tolist()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Two classes of small images, in parts."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 6)):
        for place, name in enumerate(("dark", "light")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(90 * place, 90 * place + 120, (16, 16, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


def words(photos: Path, run: Path, epochs: int = 2) -> list[str]:
    given = ["--model", "lenet5", "--slices", "4", "--sync-bn", "--batch-size", "16", "--quiet", "--no-report"]
    return ["-m", "neocog", "train", str(photos), "--output", str(run), "--epochs", str(epochs), *given]


def torchrun(log: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Start two processes, which are started again if one fails; what they say goes to a file."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "2"]
    with log.open("w") as file:
        return subprocess.Popen([sys.executable, *launcher, *command], stdout=file, stderr=file)


@pytest.fixture(scope="module")
def alone(photos, tmp_path_factory) -> bytes:
    """The model file that one process trains."""
    run = tmp_path_factory.mktemp("runs") / "alone"
    subprocess.run([sys.executable, *words(photos, run)], check=True, timeout=SECONDS, capture_output=True)
    return (run / "model.safetensors").read_bytes()


def test_two_processes_of_torchrun_write_the_file_that_one_writes(photos, alone, tmp_path):
    pytest.importorskip("torch")
    process = torchrun(tmp_path / "log", words(photos, tmp_path / "two"))
    assert process.wait(SECONDS) == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == alone


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_after_a_kill_torchrun_goes_on_to_the_same_bits(photos, alone, tmp_path):
    pytest.importorskip("torch")
    run, log = tmp_path / "killed", tmp_path / "log"
    process = torchrun(log, words(photos, run))
    deadline = time.monotonic() + SECONDS
    while not (run / "last.safetensors").exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)  # the one that writes
    assert process.wait(SECONDS) == 0, log.read_text()
    assert (run / "model.safetensors").read_bytes() == alone


def workers_of(launcher: int) -> list[int]:
    """Return the processes that a launcher started, by their rank."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                told = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            ranks = [int(entry[5:]) for entry in told if entry.startswith(b"RANK=")]
            if parent == launcher and ranks:
                found.append((ranks[0], int(folder.name)))
    return [process for _, process in sorted(found)]
