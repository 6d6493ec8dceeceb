"""A process of a training is killed in the middle, again and again: torchrun starts all of them anew, and the result
must be that of a training that nobody disturbed.

    python -m benchmarks.ranks.kills --times 10

Each training is of ResNet-20 with `--sync-bn`, on the digits that come with neocog, by two processes. One of them,
drawn at random, gets SIGKILL at a time drawn at random, after the first epoch was saved. The exit status is 1 where a
file differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EPOCHS = 16
TRAIN = ["-m", "neocog", "train", "digits", "--model", "resnet20", "--batch-size", "128", "--slices", "4", "--sync-bn"]
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "3"]
PATIENCE = 300  # seconds that a training may take on a busy machine


def begin(run: Path) -> subprocess.Popen[bytes]:
    """Start a training that writes to a run folder; what it says goes beside that."""
    command = [sys.executable, *LAUNCH, *TRAIN, "--epochs", str(EPOCHS), "--quiet", "--no-report", "--output", str(run)]
    with run.with_suffix(".log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def ranks_of(launcher: int) -> dict[int, int]:
    """Return the processes that torchrun started, by rank."""
    found: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                told = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            found |= {
                int(entry[5:]): int(folder.name) for entry in told if parent == launcher and entry[:5] == b"RANK="
            }
    return found


def ended(process: int) -> bool:
    """Whether a process is gone, or waits for its parent to notice."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def finished(run: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait for a training, and return the digest of what it wrote."""
    if process.wait(PATIENCE):
        raise SystemExit(f"the training failed:\n{run.with_suffix('.log').read_text()[-3000:]}")
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def saved(run: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the first epoch is saved."""
    while not (run / "last.safetensors").exists():
        if process.poll() is not None:
            raise SystemExit(f"the training ended too early:\n{run.with_suffix('.log').read_text()[-3000:]}")
        time.sleep(0.005)


def disturbed(run: Path, draw: random.Random, seconds: float) -> tuple[int, float, str]:
    """Train, and kill a process after up to so many seconds; return which, how long the other lived on, and the digest
    of the result.
    """
    process = begin(run)
    saved(run, process)
    processes = ranks_of(process.pid)
    time.sleep(draw.random() * seconds)
    rank = draw.choice(sorted(processes))
    os.kill(processes[rank], signal.SIGKILL)
    start = time.perf_counter()
    while not all(map(ended, processes.values())):
        time.sleep(0.005)
    return rank, time.perf_counter() - start, finished(run, process)


def main() -> int:
    """Train once undisturbed, and then with kills."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, differing = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix="neocog-kills-") as folder:
        process = begin(Path(folder, "undisturbed"))
        saved(Path(folder, "undisturbed"), process)
        start = time.perf_counter()
        wanted = finished(Path(folder, "undisturbed"), process)
        seconds = 0.7 * (time.perf_counter() - start)  # what is left is tests and the end
        for number in range(1, options.times + 1):
            run = Path(folder, str(number))
            rank, lived, found = disturbed(run, draw, seconds)
            starts = (run / "starts.json").read_text().count('"command"')
            differing += found != wanted
            same = "same bits" if found == wanted else "OTHER BITS"
            print(
                f"{number}: killed process {rank}, the other ended in {lived:.1f} s; {starts} starts; {same}",
                flush=True,
            )
    print(f"{options.times - differing} of {options.times} trainings end with the undisturbed one's file")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
