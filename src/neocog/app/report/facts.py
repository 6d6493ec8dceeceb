"""What a report says, as JSON values. Every figure of the result is one of `neocog evaluate --json`, under its name."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog import __version__
from neocog.app.cli.datasets import file_of
from neocog.app.report import confusion, heat
from neocog.app.report.answers import Answers, answers_of
from neocog.app.report.diagnosis import diagnose, gap_of
from neocog.app.report.pictures import Album
from neocog.app.report.preview import augmentation
from neocog.app.report.silent import silent_filters
from neocog.app.report.starts import read_starts
from neocog.app.report.trained import Measured, Trained
from neocog.errors import NeocogError
from neocog.nn.parameters import parameters_of
from neocog.nn.summary import multiply_adds
from neocog.train.evaluation import Evaluation

VERSION = 1
"""Of the form of these facts."""

SHOWN = 24
"""Worst mistakes, closest calls, and answers that are withheld."""

OF_A_CELL = 12
"""Pictures of a cell of the confusion matrix, at most."""

LIKELY = 3
"""Classes whose probabilities stand at a picture."""

Facts = dict[str, Any]


def facts_of(trained: Trained) -> Facts:
    """Gather all that a report of a training shows."""
    measured = trained.measured
    return {
        "version": VERSION,
        "neocog": __version__,
        "run": str(trained.folder.path),
        "starts": read_starts(trained.folder),
        "settings": dict(trained.config),
        "classes": list(trained.model.class_names),
        "network": _network(trained),
        "training": _training(trained),
        "metrics": dict(trained.model.metrics),
        "result": None if measured is None else _result(trained, measured),
        "missing": [{"code": code, "text": text} for code, text in trained.missing.items()],
    }


def _network(trained: Trained) -> Facts:
    model, graph = trained.model, trained.model.graph
    return {
        "input": list(model.input_shape),
        "resize": str(model.resize),
        "layers": len(graph.nodes),
        "parameters": sum(parameter.size for parameter in parameters_of(graph)),
        "multiply_adds": sum(multiply_adds(node) for node in graph.nodes),
    }


def _training(trained: Trained) -> Facts:
    epochs, best = trained.epochs, trained.best_epoch
    seconds = [epoch["seconds"] or 0.0 for epoch in epochs]
    whole = seconds[:-1] if trained.cut and len(seconds) > 1 else seconds
    counts = trained.config.get("images")
    images = counts.get("train") if isinstance(counts, dict) else None
    return {
        "epochs": [dict(epoch) for epoch in epochs],
        "best_epoch": best,
        "gap": gap_of(epochs, best),
        "seconds": sum(seconds) if epochs else None,
        "images_per_second": len(whole) * images / sum(whole) if isinstance(images, int) and sum(whole) > 0 else None,
    }


def _result(trained: Trained, measured: Measured) -> Facts:
    model, part, evaluation = trained.model, measured.images, measured.evaluation
    answers = answers_of(model, part, measured.labels)
    album = Album(part, model)
    withheld = answers.withheld
    worst, close = (rows[~withheld[rows]][:SHOWN].tolist() for rows in (answers.worst(), answers.least_certain()))
    unknown = np.flatnonzero(withheld)
    surest = unknown[np.argsort(-answers.certainty[unknown], kind="stable")[:SHOWN]].tolist()
    shown = [row for row in (*worst, *close, *surest) if album.add(int(answers.indices[row]))]
    cells: dict[str, list[int]] = {}
    matrix: Facts | None = None
    if isinstance(evaluation, Evaluation):
        for cell, row in confusion.cell_images(answers, OF_A_CELL):
            if album.add(int(answers.indices[row])):
                cells.setdefault(cell, []).append(row)
        small = len(model.class_names) <= confusion.MOST_CLASSES
        matrix = {
            "orders": confusion.orders(evaluation.confusion) if small else None,
            "pairs": confusion.pairs(evaluation.pairs),
            "cells": {cell: [int(answers.indices[row]) for row in rows] for cell, rows in cells.items()},
        }
    rows = sorted({*shown, *(row for found in cells.values() for row in found)})
    return {
        "location": measured.location,
        "data": measured.splits.name,
        "source": measured.splits.source,
        "counts": {name: len(images) - len(images.unreadable) for name, images in measured.splits.items()},
        "part": measured.part,
        "chose_the_epoch": measured.part == "validation" and trained.config.get("keep", "best") == "best",
        "several_labels": answers.several,
        "evaluation": evaluation.to_json(),
        "diagnosis": diagnose(evaluation, trained.epochs, trained.best_epoch),
        "confusion": matrix,
        "mistakes": {
            "all": int((~answers.right & ~withheld).sum()),
            "shown": [int(answers.indices[row]) for row in worst],
        },
        "close_calls": {"shown": [int(answers.indices[row]) for row in close]},
        "unknown": None
        if answers.reject_below is None
        else {
            "all": len(unknown),
            "right": int(answers.right[unknown].sum()),
            "shown": [int(answers.indices[row]) for row in surest],
        },
        "images": {str(answers.indices[row]): _image(trained, measured, answers, row, album) for row in rows},
        "heat": _heat(trained, answers, shown, album),
        "silent": _silent(trained, measured),
        "augmentation": _augmentation(trained, measured),
        "check": None if measured.check is None else _check(measured),
    }


def _image(trained: Trained, measured: Measured, answers: Answers, row: int, album: Album) -> Facts:
    part, index = measured.images, int(answers.indices[row])
    probabilities = answers.probabilities[row]
    likely = np.argsort(-probabilities, kind="stable")[:LIKELY].tolist()
    truth = np.flatnonzero(answers.truth[row]).tolist()
    named = [*likely, *(label for label in truth if label not in likely)]
    file, run = file_of(part, index), shlex.quote(str(trained.folder.path))
    if file is not None:
        command = f"neocog explain {run} {shlex.quote(str(file))}"
    else:
        command = f"neocog explain {run} --data {shlex.quote(measured.location)}"
    return {
        "name": part.identifiers[index],
        "source": album.sources[index],
        "truth": truth,
        "given": np.flatnonzero(answers.given[row]).tolist(),
        "withheld": bool(answers.withheld[row]),
        "probabilities": {str(label): float(probabilities[label]) for label in named},
        "focus": int(answers.focus[row]),
        "explain": command,
    }


def _heat(trained: Trained, answers: Answers, rows: Sequence[int], album: Album) -> Facts | None:
    """Return the Grad-CAM of the answers to some images: grids of whole numbers up to 255, the largest of each."""
    rows = heat.affordable(trained.model.graph, rows)
    indices = [int(answers.indices[row]) for row in rows]
    try:
        found = heat.grids(trained.model, album.pixels(indices), answers.focus[list(rows)]) if rows else None
    except NeocogError as error:
        trained.missing["heat"] = error.message
        return None
    if found is None:
        return None
    return {
        "layer": found.layer,
        "kind": found.kind,
        "rows": found.grids.shape[1],
        "columns": found.grids.shape[2],
        "grids": {
            str(index): base64.b64encode(grid.tobytes()).decode()
            for index, grid in zip(indices, found.grids, strict=True)
        },
    }


def _silent(trained: Trained, measured: Measured) -> Facts | None:
    parts = dict(measured.splits.items())
    part = "validation" if "validation" in parts else measured.part
    try:
        return {"part": part, **silent_filters(trained.model, parts[part])}
    except NeocogError as error:
        trained.missing["silent"] = error.message
        return None


def _augmentation(trained: Trained, measured: Measured) -> Facts | None:
    try:
        return augmentation(trained.model, measured.splits.train, trained.config)
    except NeocogError as error:
        trained.missing["augmentation"] = error.message
        return None


def _check(measured: Measured) -> Facts | None:
    check = measured.check
    return (
        None
        if check is None
        else {
            "counts": {part: list(counts) for part, counts in check.counts.items()},
            "findings": [
                {
                    "severity": finding.severity,
                    "code": finding.code,
                    "message": finding.message,
                    "count": finding.count,
                    "examples": list(finding.examples),
                }
                for finding in check.findings
            ],
        }
    )
