"""neocog now beside neocog as it was at an earlier commit, in alternating rounds: what a change wins or loses."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.figures import OURS, Row, summarise
from benchmarks.machine import ROOT
from benchmarks.networks import NETWORKS
from benchmarks.options import Options
from benchmarks.process import TUNED, JobError, environment, on_processors, say
from benchmarks.rounds import check_equal
from benchmarks.sides import Mode, make_task

TURNS = Path(__file__).with_name("turns.py")


def measure(options: Options) -> Iterator[Row]:
    """Measure training steps and predictions of every network that both versions know."""
    if options.before is None:
        return
    with TemporaryDirectory() as place:
        earlier = Path(place, "neocog")
        unpack(options.before, earlier)
        for threads in options.threads:
            for name in options.networks:
                network = NETWORKS[name]
                if network.trained:
                    yield _row(options, earlier, Job(name, "training", network.batch, threads))
                for batch in network.predictions:
                    yield _row(options, earlier, Job(name, "inference", batch, threads))


def unpack(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder.

    Raises:
        JobError: there is no such commit.
    """
    done = subprocess.run(["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise JobError(f"git knows no commit {commit!r}: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


@dataclass(frozen=True, slots=True)
class Job:
    """What both versions are asked to do."""

    network: str
    mode: Mode
    batch: int
    threads: int

    @property
    def case(self) -> str:
        """How a row of a table names it."""
        return f"{NETWORKS[self.network].case(self.batch)}, {'training' if self.mode == 'training' else 'prediction'}"


class Version:
    """A process with one version of neocog, which takes a turn when it is asked to.

    Arguments:
        folder: of the version.
        job: what is timed.
        parameters: file of the network's parameters.

    Raises:
        JobError: this version cannot do it.
    """

    def __init__(self, folder: Path, job: Job, parameters: str) -> None:
        path = os.pathsep.join([str(folder / "src"), str(folder)])
        found = {**environment(job.threads, {**TUNED, **_narrower()}), "PYTHONPATH": path}
        with on_processors(job.threads):
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(TURNS)],
                cwd=folder,
                env=found,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        asked = {"network": job.network, "mode": job.mode, "batch": job.batch, "threads": job.threads}
        self.results = self._ask({**asked, "parameters": parameters})["results"]

    def turn(self) -> float:
        """Return the milliseconds of one call."""
        return float(self._ask({})["ms"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _ask(self, question: Mapping[str, object]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            answer = {"error": "its process ended"}
        if "error" in answer:
            self.close()
            raise JobError(answer["error"])
        return answer


def _row(options: Options, earlier: Path, job: Job) -> Row:
    """Measure one row; the one who begins a round takes turns too."""
    commit = str(options.before)
    title = " ".join([f"against {commit}", *(f"({name}={value})" for name, value in _narrower().items())])
    say(f"  before: {job.case}")
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        parameters = f"{folder}/parameters.npz"
        values: Any = make_task(NETWORKS[job.network], job.threads, job.batch).parameters
        np.savez(parameters, **values)
        versions = {}
        for name, place in ((OURS, ROOT), (commit, earlier)):
            try:
                versions[name] = Version(place, job, parameters)
            except JobError as error:
                return Row(title, job.case, job.threads, "ms", {}, {name: str(error)})
            stack.callback(versions[name].close)
        check_equal(commit, versions[OURS].results, versions[commit].results)
        times: dict[str, list[float]] = {name: [] for name in versions}
        for turn in range(options.rounds):
            for name in list(versions) if turn % 2 else reversed(list(versions)):
                times[name].append(versions[name].turn())
    figures = {name: summarise(values) for name, values in times.items()}
    return Row(title, job.case, job.threads, "ms", figures)


def _narrower() -> dict[str, str]:
    """Return the user's setting that keeps both versions to narrower instructions, if there is one."""
    return {name: os.environ[name] for name in ("NEOCOG_CPU",) if name in os.environ}
