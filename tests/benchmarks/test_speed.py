"""Which rows a run measures."""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.speed import jobs


def titles(*only: str, networks: tuple[str, ...] = ("vgg", "resnet20")) -> list[str]:
    """List the rows of a run on one thread."""
    return [job.title for job in jobs(Options(networks, threads=(1,), only=only))]


def test_a_network_is_predicted_with_each_of_its_batches() -> None:
    assert titles("inference") == [
        "prediction of a batch, vgg, batch 64, 1 thread",
        "prediction of a batch, resnet20, batch 64, 1 thread",
    ]
    assert titles("latency") == ["one image, resnet20, batch 1, 1 thread"]


def test_a_training_steps_batch_is_its_own() -> None:
    assert titles("training") == [
        "training step, vgg, batch 64, 1 thread",
        "training step, resnet20, batch 128, 1 thread",
    ]


def test_networks_for_imagenet_are_asked_and_not_trained() -> None:
    assert titles("training", networks=("resnet50",)) == []
    assert titles("inference", "latency", networks=("resnet50",)) == [
        "prediction of a batch, resnet50, batch 8, 1 thread",
        "one image, resnet50, batch 1, 1 thread",
    ]


def test_a_job_asks_for_what_its_row_names() -> None:
    for job in jobs(Options(networks=("resnet20", "resnet18"), only=("inference", "latency"))):
        assert job.case == f"{job.network}, batch {job.batch}"
