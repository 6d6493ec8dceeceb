"""The time of a training step and of a prediction, on each side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import HALF, Row, summarise, thread_count
from benchmarks.networks import NETWORKS
from benchmarks.options import Options
from benchmarks.process import NARROW, TUNED, run
from benchmarks.rounds import alternate
from benchmarks.sides import EAGER_SIDES, INFERENCE_SIDES, TRAINING_SIDES, Mode, agreeing_calls, make_task
from neocog.engines.precision import would_gain


@dataclass(frozen=True, slots=True)
class Job:
    """One row to be: what the child is asked for, and how the row is called."""

    measurement: str
    case: str
    threads: int
    network: str
    mode: Mode
    sides: Sequence[str]
    environment: Mapping[str, str]
    batch: int | None = None

    @property
    def title(self) -> str:
        """How progress and failures name it."""
        return f"{self.measurement}, {self.case}, {thread_count(self.threads)}"

    def measure(self, rounds: int) -> Row:
        """Measure it in a process of its own."""
        asked = {
            "network": self.network,
            "mode": self.mode,
            "sides": list(self.sides),
            "batch": self.batch,
            "threads": self.threads,
            "rounds": rounds,
        }
        got = run("speed", asked, self.threads, self.environment)
        figures = {name: summarise(values) for name, values in got["times"].items()}
        return Row(self.measurement, self.case, self.threads, "ms", figures, got["skipped"])


def with_half(sides: Sequence[str], options: Options) -> tuple[str, ...]:
    """Return sides, those in bfloat16 only where the processor multiplies tiles of it, or where they are asked for."""
    wanted = options.bfloat16 or would_gain()
    return tuple(name for name in sides if name not in HALF or wanted)


def jobs(options: Options) -> Iterator[Job]:
    """List what is asked for."""
    for threads in options.threads:
        for name in options.networks:
            case = NETWORKS[name].case()
            if "training" in options.only and NETWORKS[name].trained:
                yield Job("training step", case, threads, name, "training", with_half(TRAINING_SIDES, options), TUNED)
                if name == "article":
                    untuned = f"{case}, malloc as users find it"
                    yield Job("training step", untuned, threads, name, "training", EAGER_SIDES, {})
        for measurement, title, wanted in (
            ("inference", "prediction of a batch", lambda batch: batch > 1),
            ("latency", "one image", lambda batch: batch == 1),
        ):
            for name in options.networks if measurement in options.only else ():
                for batch in filter(wanted, NETWORKS[name].predictions):
                    case = NETWORKS[name].case(batch)
                    yield Job(
                        title, case, threads, name, "inference", with_half(INFERENCE_SIDES, options), TUNED, batch
                    )
        for width in NARROW if "narrow" in options.only else ():
            environment = {**TUNED, **NARROW[width]}
            case = f"{NETWORKS['article'].case()}, {width}"
            yield Job(
                "narrower processors", f"{case}, training", threads, "article", "training", EAGER_SIDES, environment
            )
            yield Job(
                "narrower processors", f"{case}, prediction", threads, "article", "inference", EAGER_SIDES, environment
            )


def inside(job: Mapping[str, Any]) -> dict[str, object]:
    """Measure, in the child: give name → milliseconds of each round, and name → why a side was skipped."""
    task = make_task(NETWORKS[job["network"]], job["threads"], job["batch"])
    calls, skipped = agreeing_calls(job["mode"], job["sides"], task)
    return {"times": alternate(calls, job["rounds"]), "skipped": skipped}
