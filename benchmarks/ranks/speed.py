"""Training steps of several processes: beside one process with as many threads, and beside PyTorch's DDP.

    python -m benchmarks.ranks.speed --network photo

torchrun starts the processes, each of one thread. All sides are in all of them and take turns, so that whatever slows
the machine down slows all sides. Equal losses come first: the five first ones must agree to 1e-4, or nothing is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import ROOT, choose_processors
from benchmarks.networks import NETWORKS, Network
from benchmarks.process import TUNED
from benchmarks.rounds import CHECKS, TOLERANCE
from benchmarks.sides import MOMENTUM, Task, make_task
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.sharing import program_for
from neocog.interop.distributed import distributed_world
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.slicing import Slicing, usual_slices
from neocog.ranks.gather import gathered
from neocog.ranks.world import World

ALONE, SLICED, RANKS = "one process", "one process, same slices", "neocog"
Step = Callable[[], float]


def main() -> None:
    """Start the processes, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="photo")
    parser.add_argument("--ranks", type=int, default=2, help="processes of one thread (default: 2)")
    parser.add_argument("--slices", type=int, help="default: as neocog train chooses")
    parser.add_argument("--batch", type=int, help="images of a step, of all processes")
    parser.add_argument("--size", type=int, help="height and width of images, pixels")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--without", nargs="*", default=[], help="sides that are left out")
    options = parser.parse_args()
    if "RANK" in os.environ:
        measure(options)
        return
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={options.ranks}"]
    environment = {**os.environ, **TUNED, "OMP_NUM_THREADS": "1"}
    os.sched_setaffinity(0, choose_processors(min(options.ranks, len(os.sched_getaffinity(0)))))
    command = [*launcher, "-m", "benchmarks.ranks.speed", *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)


def measure(options: argparse.Namespace) -> None:
    """Make all sides, compare their first losses, and give them their turns."""
    everything = os.sched_getaffinity(0)
    network = NETWORKS[options.network]
    if options.size:
        network = Network(network.name, network.net, (options.size, options.size, 3), network.batch, network.about)
    batch = options.batch or network.batch
    task = make_task(network, 1, batch)
    slicing = Slicing(options.slices or usual_slices(batch, options.ranks))
    first = os.environ["RANK"] == "0"
    alone = {ALONE: None, SLICED: slicing} if first else {}
    steps = {name: ours(task, cut, None, len(everything)) for name, cut in alone.items() if name not in options.without}
    losses = {name: [step() for _ in range(CHECKS)] for name, step in steps.items()}  # threads start: may run anywhere
    world = distributed_world()
    for name, make in sides(options.without):
        steps[name] = make(task, slicing, world)
        losses[name] = [float(gathered(world, np.array([steps[name]()])).mean()) for _ in range(CHECKS)]
    check(losses)
    names = [name for name in (ALONE, SLICED, *dict(sides(()))) if name not in options.without]
    import torch.distributed as dist

    times: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(options.rounds):
        for place in range(len(names)):
            name = names[(place + round_) % len(names)]
            dist.barrier()  # who waits in neocog's own looks up a thousand times a second, which costs the other side
            if name in steps:
                with on(everything if name in alone else None):
                    times[name].append(timed(steps[name]))
            dist.barrier()
    if first:
        tell(options, slicing, batch, {name: statistics.median(found) for name, found in times.items()})


def sides(without: Any) -> Iterator[tuple[str, Callable[[Task, Slicing, World], Step]]]:
    """Yield the sides that processes take together."""
    for name, make in ((RANKS, lambda task, slicing, world: ours(task, slicing, world, 1)), *DDP.items()):
        if name not in without:
            yield name, make


def part_of(values: NDArray[Any], slicing: Slicing, world: World | None) -> NDArray[Any]:
    """Return what belongs to the images of this process."""
    if world is None:
        return values
    places = slicing.images(slicing.slices(world.rank, world.size), len(values))
    return np.ascontiguousarray(values[places.start : places.stop])


def ours(task: Task, slicing: Slicing | None, world: World | None, threads: int) -> Step:
    """Make neocog's step: of one process, or of several that share slices."""
    batch = len(task.images)
    settings = StepSettings(
        loss=CrossEntropy(),
        optimizer=SGD(task.learning_rate, momentum=MOMENTUM),
        batch_size=batch,
        slicing=slicing,
        keeps_gradients=False,
    )
    program = program_for(NativeEngine(), task.graph, task.parameters, settings, threads, world)
    if slicing is None or world is None:
        return lambda: program.step(task.images, task.labels, task.learning_rate).loss
    images, labels = (part_of(values, slicing, world) for values in (task.images, task.labels))
    step: Callable[..., Any] = program.step
    return lambda: float(step(images, labels, task.learning_rate, batch).loss)


def ddp(task: Task, slicing: Slicing, world: World, channels_last: bool) -> Step:
    """Make the step of PyTorch's DistributedDataParallel, as its tutorial writes it."""
    import torch

    from neocog.engines.torch import build_module

    torch.set_num_threads(1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = torch.nn.parallel.DistributedDataParallel(
        build_module(task.graph, task.parameters).to(memory_format=layout)
    )
    images = torch.from_numpy(part_of(task.channels_first, slicing, world)).to(memory_format=layout)
    labels = torch.from_numpy(part_of(task.labels, slicing, world).astype(np.int64))
    optimizer = torch.optim.SGD(module.parameters(), task.learning_rate, momentum=MOMENTUM)
    criterion = torch.nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(module(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


DDP: dict[str, Callable[[Task, Slicing, World], Step]] = {
    "PyTorch DDP": lambda task, slicing, world: ddp(task, slicing, world, channels_last=False),
    "PyTorch DDP channels_last": lambda task, slicing, world: ddp(task, slicing, world, channels_last=True),
}


def check(losses: dict[str, list[float]]) -> None:
    """Compare the first losses of all sides."""
    (name, wanted), *others = losses.items()
    for other, found in others:
        if not np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            raise SystemExit(f"{other} computes other losses than {name}: {found}, not {wanted}")


@contextlib.contextmanager
def on(processors: set[int] | None) -> Iterator[None]:
    """Let this thread run on more processors for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def timed(step: Step) -> float:
    """Return the seconds of a step behind one that is not timed."""
    step()
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def tell(options: argparse.Namespace, slicing: Slicing, batch: int, seconds: dict[str, float]) -> None:
    """Print the figures."""
    print(f"{options.network}, batch {batch}, {options.ranks} processes of one thread, {slicing.count} slices")
    for name, time_ in seconds.items():
        print(f"{name:28} {1e3 * time_:8.1f} ms {batch / time_:8.0f} images/s")
    ours_ = seconds.get(RANKS)
    peers = [seconds[name] for name in DDP if name in seconds]
    for what, other in ((ALONE, seconds.get(ALONE)), (SLICED, seconds.get(SLICED)), ("DDP", min(peers, default=None))):
        if ours_ and other:
            print(f"against {what}: {other / ours_:.2f} times its speed")


if __name__ == "__main__":
    main()
