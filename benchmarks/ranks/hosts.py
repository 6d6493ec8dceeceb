"""Training steps on machines that a slow network connects, and what the model of `benchmarks.ranks.model` predicts.

    sudo python -m benchmarks.ranks.hosts --ranks 2 4 --network resnet20 resnet18

A network namespace stands for each machine, with an interface of its own that `tc tbf` limits both ways, and a process
namespace, so that nothing goes through common memory; each process has one processor. The model is fitted to what is
measured apart: all-reduces of several sizes, and steps without any. Then whole steps are measured, and held against it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.machine import ROOT
from benchmarks.networks import NETWORKS
from benchmarks.ranks.model import Exchange, Network, Step, fit
from benchmarks.ranks.speed import ours
from benchmarks.sides import make_task
from neocog.interop.distributed import distributed_world
from neocog.nn.slicing import Slicing
from neocog.ranks.gather import gathered
from neocog.ranks.tree import TreeSum
from neocog.ranks.world import World

NAME, ADDRESS, PORT = "neocog", "10.77.0", 29877
MORE = (8, 64, 512)  # machines that the model is asked about
SIZES = (1 << 12, 1 << 20, 1 << 22, 1 << 24)  # bytes of the all-reduces that the model is fitted to


def main() -> None:
    """Set up the machines and measure, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=["resnet20"])
    parser.add_argument("--accumulate", type=int, nargs="+", default=[1], help="batches between two exchanges")
    parser.add_argument("--rate", default="1gbit", help="of each interface, as tc says it")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if "RANK" in os.environ:
        print(json.dumps(inside(options)), flush=True)
        return
    found = {ranks: told_by(ranks, options.rate) for ranks in options.ranks}
    tell(options.rate, found)


def told_by(ranks: int, rate: str) -> dict[str, Any]:
    """Return what the first of so many machines measured."""
    with machines(ranks, rate) as names:
        processes = [begin(name, rank, ranks) for rank, name in enumerate(names)]
        try:
            told = [process.communicate()[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
    if any(process.returncode for process in processes):
        raise SystemExit("a process failed")
    first: dict[str, Any] = json.loads(told[0].splitlines()[-1])
    return first


def call(command: str) -> None:
    """Run a command of ip or tc."""
    subprocess.run(command.split(), check=True)


@contextlib.contextmanager
def machines(count: int, rate: str) -> Iterator[list[str]]:
    """Make network namespaces on one bridge, and remove them afterwards."""
    names = [f"{NAME}-{number}" for number in range(count)]
    limit = f"tbf rate {rate} burst 64kb latency 100ms"
    with contextlib.ExitStack() as held:
        call(f"ip link add {NAME} type bridge")
        held.callback(call, f"ip link del {NAME}")
        call(f"ip link set {NAME} up")
        for number, name in enumerate(names):
            call(f"ip netns add {name}")
            held.callback(call, f"ip netns del {name}")
            call(f"ip link add {name} type veth peer name eth0 netns {name}")
            held.callback(call, f"ip link del {name}")  # first, since a namespace lives as long as its processes
            call(f"ip link set {name} master {NAME} up")
            call(f"ip -n {name} addr add {ADDRESS}.{number + 1}/24 dev eth0")
            call(f"ip -n {name} link set eth0 up")
            call(f"ip -n {name} link set lo up")
            call(f"tc qdisc add dev {name} root {limit}")
            call(f"tc -n {name} qdisc add dev eth0 root {limit}")
        yield names


def begin(name: str, rank: int, ranks: int) -> subprocess.Popen[str]:
    """Start a process in a namespace, on one processor."""
    processors = sorted(os.sched_getaffinity(0))
    told = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": f"{ADDRESS}.1", "MASTER_PORT": str(PORT)}
    one = {"GLOO_SOCKET_IFNAME": "eth0", "NEOCOG_THREADS": "1", "OMP_NUM_THREADS": "1"}
    own = ["ip", "netns", "exec", name, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    pinned = ["taskset", "-c", str(processors[rank % len(processors)])]
    command = [*own, *pinned, sys.executable, "-m", "benchmarks.ranks.hosts", *sys.argv[1:]]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told, **one}, stdout=subprocess.PIPE, text=True)


def inside(options: argparse.Namespace) -> dict[str, Any]:
    """Measure as one of the processes."""
    world = distributed_world()
    exchanges = [asdict(Exchange(world.size, size, of_sum(options, world, size))) for size in SIZES]
    steps = {}
    for name in options.network:
        for accumulated in options.accumulate:
            steps[f"{name} x {accumulated}"] = of_network(options, world, name, accumulated)
    return {"exchanges": exchanges, "steps": steps}


def of_sum(options: argparse.Namespace, world: World, size: int) -> float:
    """Return the seconds in which gradients of so many bytes are added up, as a step does it."""
    values = np.ones(size // 4, np.float32)
    tree = TreeSum(Slicing(world.size), world, values)

    def add_up() -> None:
        tree.add_up(lambda slice_: values)

    return together(world, options.rounds, add_up)


def of_network(options: argparse.Namespace, world: World, name: str, accumulated: int) -> dict[str, Any]:
    """Measure a network's steps: alone, without exchange, and whole."""
    network = NETWORKS[name]
    batch = network.batch * accumulated
    task = make_task(network, 1, batch)
    part = make_task(network, 1, batch // world.size)
    slicing = Slicing(4 * accumulated)
    whole = ours(task, slicing, world, 1)
    apart = ours(part, Slicing(slicing.count // world.size), None, 1)
    alone = ours(task, slicing, None, 1) if world.rank == 0 else None
    own = [] if alone is None else [timed(alone) for _ in range(1 + options.rounds)][1:]
    world.barrier()
    computing = []
    for _ in range(1 + options.rounds):
        world.barrier()
        computing.append(timed(apart))
    spread = gathered(world, np.array(computing[1:]))
    measured = together(world, options.rounds, whole)
    trained = sum(value.nbytes for value in task.parameters.values())
    return {
        "alone": statistics.median(own) if own else 0.0,
        "compute": float(np.median(spread)),
        "spread": float(spread.std(axis=0, ddof=1).mean()) if world.size > 1 else 0.0,
        "size": trained,
        "measured": measured,
    }


def together(world: World, rounds: int, step: Callable[[], object]) -> float:
    """Return the median of the seconds that all processes take for something, from a common beginning."""
    found = []
    for _ in range(1 + rounds):
        world.barrier()
        found.append(timed(step))
    return float(np.median(gathered(world, np.array(found[1:])).max(axis=0)))


def timed(step: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def tell(rate: str, found: dict[int, dict[str, Any]]) -> None:
    """Print what was measured beside what the model says, and what it says of more machines."""
    networks = {}
    for ranks, told in found.items():
        exchanges = [Exchange(**exchange) for exchange in told["exchanges"]]
        network = networks[ranks] = fit(exchanges)
        print(
            f"{ranks} machines at {rate}: {1e3 * network.latency:.2f} ms, {network.bandwidth / 1e6:.0f} MB/s each way"
        )
        for one in exchanges:
            predicted = network.all_reduce(ranks, one.size)
            print(f"  sum of {int(one.size):>8} bytes: {1e3 * one.seconds:7.2f} ms, model {1e3 * predicted:7.2f} ms")
        for name, step in told["steps"].items():
            predicted = Step(step["compute"], step["spread"], step["size"]).seconds(ranks, network)
            print(
                f"  {name}: one process {1e3 * step['alone']:.0f} ms; compute {1e3 * step['compute']:.0f} ms, "
                f"spread {1e3 * step['spread']:.1f} ms, {step['size'] / 1e6:.2f} MB; "
                f"step {1e3 * step['measured']:.0f} ms, model {1e3 * predicted:.0f} ms "
                f"({predicted / step['measured'] - 1:+.1%}); {step['alone'] / step['measured']:.2f} times one process"
            )
    network = networks[min(found)]
    for name, step in found[min(found)]["steps"].items():
        own = Step(step["compute"], step["spread"], step["size"])
        for speed in (1, 10, 25):
            faster = Network(network.latency, network.bandwidth * speed)
            for ranks in MORE:
                shares = (own.efficiency(ranks, faster, *how) for how in ((1, 1.0), (1, 0.5), (4, 1.0), (16, 1.0)))
                plain, half, four, sixteen = (f"{share:.0%}" for share in shares)
                print(
                    f"{name}, {speed} x {rate}, {ranks} machines: {plain} of the time computes; {half} with gradients "
                    f"in bfloat16, {four} with 4 batches between exchanges, {sixteen} with 16"
                )


if __name__ == "__main__":
    main()
