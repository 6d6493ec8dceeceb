"""One side of a comparison between versions of neocog: a process that takes its turns when it is told to.

It is run by its path, with the folder of any version as its working folder, and uses what that version has. Questions
come as lines of JSON on standard input; each is answered by a line on standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np


def prepare(job: Mapping[str, Any]) -> tuple[Callable[[], float], list[Any]]:
    """Return a turn, which gives the milliseconds of a call, and the first results."""
    from benchmarks.networks import NETWORKS
    from benchmarks.rounds import CHECKS, repeats, settle, timed
    from benchmarks.sides import make_call, make_task

    task = make_task(NETWORKS[job["network"]], job["threads"], job["batch"])
    with np.load(job["parameters"]) as stored:  # those of this version may be drawn in another way
        task = replace(task, parameters={name: stored[name] for name in task.parameters})
    call = make_call("neocog", job["mode"], task)
    results = [np.asarray(call()).tolist() for _ in range(CHECKS)]
    count = repeats(call)

    def turn() -> float:
        settle()
        if count > 1:  # a longer call is not changed by what the caches held before
            call()
        return timed(call, count) / count * 1e3

    return turn, results


def main() -> None:
    """Answer until there are no more questions."""
    job = json.loads(sys.stdin.readline())
    try:
        turn, results = prepare(job)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    print(json.dumps({"results": results}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"ms": turn()}), flush=True)


if __name__ == "__main__":
    main()
