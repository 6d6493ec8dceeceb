"""How long users wait: from the start of Python to the first prediction, and for the compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import neocog as nc
from benchmarks.figures import OURS, Row, summarise
from benchmarks.networks import NETWORKS
from benchmarks.options import Options
from benchmarks.process import environment, on_processors, reason, run, say
from benchmarks.rounds import check_equal
from benchmarks.sides import MOMENTUM, make_task

ROUNDS, QUICK_ROUNDS = 10, 2
TABLE = "start-up"

# Each loads the article's network from a file and asks it about one image, as short as its library allows.
PROGRAMS = {
    OURS: """
import numpy, neocog
print(neocog.load("article.safetensors", threads={threads})(numpy.ones((1, 28, 28, 1), "f4"))[0, 0])
""",
    "PyTorch": """
import torch
from torch import nn
net = nn.Sequential(
    nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10),
)
net.load_state_dict(torch.load("article.pt", weights_only=True))
with torch.inference_mode():
    print(net.eval()(torch.ones(1, 1, 28, 28))[0, 0].item())
""",
    "ONNX Runtime": """
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = {threads}
session = onnxruntime.InferenceSession("article.onnx", options, providers=["CPUExecutionProvider"])
print(session.run(None, dict(images=numpy.ones((1, 1, 28, 28), "f4")))[0][0, 0])
""",
    "OpenVINO": """
import numpy, openvino
settings = dict(PERFORMANCE_HINT="LATENCY", INFERENCE_NUM_THREADS={threads}, INFERENCE_PRECISION_HINT="f32")
model = openvino.Core().compile_model("article.onnx", "CPU", settings)
print(model(numpy.ones((1, 1, 28, 28), "f4"))[0][0, 0])
""",
}
CLOCK = "\nimport time; print(time.monotonic())"


def measure(options: Options) -> Iterator[Row]:
    """Measure on the largest number of threads, with warm caches of neocog and of the system."""
    threads = max(options.threads)
    rounds = min(options.rounds, QUICK_ROUNDS if options.quick else ROUNDS)
    with TemporaryDirectory() as folder:
        say("  start-up: process start to first prediction")
        yield _first_prediction(Path(folder), threads, rounds)
    say("  start-up: compiling the training program")
    empty: list[float] = []
    warm: list[float] = []
    for _ in range(rounds):
        with TemporaryDirectory() as cache:
            for seen in (empty, warm):
                got = run("startup", {"do": "compile", "threads": threads}, threads, {"NEOCOG_CACHE": cache})
                seen.append(got["seconds"])
    case = f"{NETWORKS['article'].case()}, making the training program"
    yield Row(TABLE, f"{case}, empty cache", threads, "s", {OURS: summarise(empty)})
    yield Row(TABLE, f"{case}, warm cache", threads, "s", {OURS: summarise(warm)})


def _first_prediction(folder: Path, threads: int, rounds: int) -> Row:
    run("startup", {"do": "save", "folder": str(folder)}, threads)
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    skipped: dict[str, str] = {}
    answers: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name in [name for name in PROGRAMS if name not in skipped]:
            try:
                taken, answer = _wait(PROGRAMS[name].replace("{threads}", str(threads)), folder, threads)
            except RuntimeError as error:
                if name == OURS:
                    raise
                skipped[name] = str(error)
                continue
            if turn:
                times[name].append(taken)
            else:  # the first fills the caches
                answers[name] = answer
                check_equal(name, [answers[OURS]], [answer])
    figures = {name: summarise(values) for name, values in times.items() if name not in skipped}
    return Row(TABLE, "article, process start to first prediction", threads, "s", figures, skipped)


def _wait(program: str, folder: Path, threads: int) -> tuple[float, float]:
    """Return the seconds until a program has printed its answer, and the answer.

    Linux's monotonic clock is the same in all processes.
    """
    home = str(Path(nc.__file__).resolve().parents[1])  # the program runs in another folder
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    extra = {"NEOCOG_CACHE": str(folder / "cache"), "PYTHONPATH": path}
    with on_processors(threads):
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", program + CLOCK],
            cwd=folder,
            env=environment(threads, extra),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        kind, _, module = last.partition(": No module named ")
        missing = f"{module[1:-1]} is not installed" if kind == "ModuleNotFoundError" else ""  # without quotes
        raise RuntimeError(missing or last[:160] or f"the process ended with status {done.returncode}")
    answer, end = done.stdout.split()[-2:]
    return float(end) - start, float(answer)


def inside(job: Mapping[str, Any]) -> dict[str, object]:
    """Do the part that is a job of a child: save the network for all sides, or compile."""
    return _save(Path(job["folder"])) if job["do"] == "save" else _compile(job["threads"])


def _save(folder: Path) -> dict[str, object]:
    model = nc.Model(nc.zoo.article(), (28, 28, 1))
    model.save(folder / "article.safetensors")
    with suppress(ImportError):  # then its program will say so
        import torch

        torch.save({n: torch.from_numpy(v) for n, v in model.state_dict().items()}, folder / "article.pt")
    try:
        from benchmarks.onnxmodel import export

        (folder / "article.onnx").write_bytes(export(model.graph, model.parameters, 1))
    except ImportError as error:
        say(f"    no ONNX model: {reason(error)}")
    return {}


def _compile(threads: int) -> dict[str, object]:
    from neocog.engines.base import StepSettings
    from neocog.engines.native import NativeEngine
    from neocog.nn.losses import CrossEntropy
    from neocog.nn.optimizers import SGD

    task = make_task(NETWORKS["article"], threads)
    settings = StepSettings(CrossEntropy(), SGD(task.learning_rate, momentum=MOMENTUM), len(task.images))
    engine = NativeEngine()
    start = time.perf_counter()
    engine.train_program(task.graph, task.parameters, settings, threads)
    return {"seconds": time.perf_counter() - start}
