"""`neocog info MODEL|DATA|NAME`: what a model file, a data set or a known network holds."""

from __future__ import annotations

import os
from pathlib import Path

import click

from neocog.app.cli import datasets, models, options
from neocog.app.cli.measured import shorten
from neocog.app.cli.output import count, emit, format_table, print_json
from neocog.app.cli.verb import Verb
from neocog.data.dataset import Dataset, Source
from neocog.data.resize import ImageSize
from neocog.data.walk import listed
from neocog.interop.hub.repository import names_a_hub
from neocog.model.network import Network
from neocog.model.scales import scales_to_json
from neocog.nn.graph import Graph
from neocog.nn.scales import Scales
from neocog.nn.summary import format_summary, summarise
from neocog.nn.zoo import MODELS
from neocog.text import printable
from neocog.train.pictures import choose_size

MODEL_ENDINGS = (".safetensors", ".onnx")
VIEWS_TOLD = {
    "plain": "plain: each image as it is",
    "flip": "flip: each image and its mirror image",
    "flip-shift": "flip-shift: each image and its mirror image, in place and shifted by a pixel, six in all",
}
KIND_NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}


@click.command("info", cls=Verb)
@click.argument("thing", type=options.Location(), metavar="MODEL|DATA|NAME")
@options.as_json
def command(thing: str, as_json: bool) -> None:
    """Describe a model (a file, a run folder or hub:OWNER/NAME), a data set (whatever neocog train takes), or a known
    network by its name.
    """
    path = Path(thing)
    if thing in MODELS and not os.path.lexists(thing):
        _describe_known(thing, as_json)
        return
    is_run = os.path.isfile(path / models.MODEL_FILE)  # noqa: PTH113 - raises nothing
    if is_run or path.suffix in MODEL_ENDINGS or names_a_hub(thing):
        _describe_model(path, as_json)
    else:
        _describe_data(thing, as_json)


def _describe_known(name: str, as_json: bool) -> None:
    known = MODELS[name]
    graph = known.graph()
    if as_json:
        image = {"height": known.image.height, "width": known.image.width, "channels": known.image.channels}
        print_json({"kind": "network", "name": name, "input": image, "classes": known.classes, **_sizes(graph)})
        return
    rows = [
        ("network", f"{name}; train it with: neocog train DATA --model {name}"),
        ("made for", f"{known.image.height} x {known.image.width} pixels, {_kind(known.image.channels)}"),
        ("classes", f"{known.classes:,}; a training makes as many outputs as its data has classes"),
    ]
    emit(f"{format_table(rows)}\n\n{format_summary(graph)}")


def _describe_model(path: Path, as_json: bool) -> None:
    file = models.find_model(path)
    model = models.open_model(path, "native", None, allow_nonfinite=True)
    if as_json:
        print_json(model_facts(model, file))
        return
    height, width, channels = model.input_shape
    normalisation = model.graph.normalisation
    rows = [
        ("model", f"{printable(str(file))} ({file.stat().st_size:,} bytes)"),
        ("input", f"{height} x {width} pixels, {_kind(channels)}, resized by {model.resize}"),
        ("normalised", f"mean {_numbers(normalisation.mean)}, std {_numbers(normalisation.std)} of values in [0, 1]"),
        ("views", VIEWS_TOLD[model.views]),
        ("classes", f"{len(model.class_names)}: {printable(shorten(model.class_names, 20))}"),
        *_given_above(model),
        ("learnt from", _learnt_from(model)),
        *_origin(model),
        *([] if model.trained_in is None else [("trained in", model.trained_in)]),
        *([] if model.scales is None else [("int8", _int8(model.scales))]),
        ("metrics", ", ".join(f"{printable(name)} {value:.4g}" for name, value in model.metrics.items()) or "none"),
    ]
    emit(f"{format_table(rows)}\n\n{model.summary()}")


def model_facts(model: Network, file: Path) -> dict[str, object]:
    """Return one object that describes a model, for a program to read."""
    height, width, channels = model.input_shape
    return {
        "kind": "model",
        "file": str(file),
        "bytes": file.stat().st_size,
        "classes": list(model.class_names),
        "input": {
            "height": height,
            "width": width,
            "channels": channels,
            "color_order": model.color_order,
            "resize": str(model.resize),
            "mean": list(model.graph.normalisation.mean),
            "std": list(model.graph.normalisation.std),
        },
        "views": model.views,
        "metrics": model.metrics,
        "several_labels": model.loss.several_labels,
        "thresholds": None if model.thresholds is None else list(model.thresholds),
        "learnt_from": None if model.learnt_from is None else len(model.learnt_from),
        "origin": None if model.origin is None else model.origin.to_json(),
        "trained_in": model.trained_in,
        "scales": None if model.scales is None else scales_to_json(model.scales),
        **_sizes(model.graph),
    }


def _sizes(graph: Graph) -> dict[str, object]:
    rows = summarise(graph)
    return {
        "parameters": sum(row.parameters for row in rows),
        "multiply_adds": sum(row.multiply_adds for row in rows),
        "layers": [
            {
                "name": row.name,
                "kind": row.kind,
                "output": row.output,
                "parameters": row.parameters,
                "multiply_adds": row.multiply_adds,
                "fully_connected": row.counts.fully_connected if row.counts else 0,
                "local": row.counts.local if row.counts else 0,
                "shared": row.counts.shared if row.counts else 0,
            }
            for row in rows
        ],
    }


def _given_above(model: Network) -> list[tuple[str, str]]:
    """Say above which probability each label is given, where an image may have several."""
    if not model.loss.several_labels:
        return []
    if model.thresholds is None:
        return [("given above", "a probability of 0.5")]
    named = [f"{name} {value:.3f}" for name, value in zip(model.class_names, model.thresholds, strict=True)]
    return [("given above", printable(shorten(named, 20)))]


def _origin(model: Network) -> list[tuple[str, str]]:
    origin = model.origin
    if origin is None:
        return []
    digest = "" if origin.sha256 is None else f", sha256 {origin.sha256}"
    about = [] if origin.about is None else [("", printable(origin.about))]
    licence = printable(origin.licence or "not known")
    return [("began from", f"{printable(origin.source)}{digest}"), *about, ("licence", licence)]


def _int8(scales: Scales) -> str:
    return f"prepared, with the scales of {count(len(scales.values), 'layer')} (--precision int8)"


def _learnt_from(model: Network) -> str:
    if model.learnt_from is None:
        return "images that the file does not name"
    return f"{count(len(model.learnt_from), 'image')}, known by their content"


def _describe_data(location: str, as_json: bool) -> None:
    source = datasets.open_source(location)
    kind, parts = _parts(source)
    names = parts[0][1].class_names
    counts = {name: part.counts() for name, part in parts}
    data = parts[0][1]
    size = choose_size(data)
    if as_json:
        native = data.native_size
        print_json(
            {
                "kind": "data",
                "location": location,
                "name": source.name,
                "source": kind,
                "classes": list(names),
                "images": {name: len(part) for name, part in parts},
                "per_class": {
                    label: {name: int(numbers[place]) for name, numbers in counts.items()}
                    for place, label in enumerate(names)
                },
                "native_size": None if native is None else [native.height, native.width],
                "channels": data.channels,
                "training_size": [size.height, size.width],
                "notes": list(source.notes),
                "empty_classes": list(source.empty_classes),
            }
        )
        return
    rows = [("data", printable(f"{location}: {kind}")), ("pixels", _pixels(data, size))]
    rows += [("note", printable(note)) for note in source.notes]
    if source.empty_classes:
        folders = count(len(source.empty_classes), "folder")
        rows.append(("note", f"{folders} without an image, taken for no class: {listed(source.empty_classes)}"))
    per_class = [(printable(name), *(f"{n[i]:,}" for n in counts.values())) for i, name in enumerate(names)]
    table = [("class", *counts), *per_class]
    table.append(("all", *(f"{len(part):,}" for _, part in parts)))
    emit(f"{format_table(rows)}\n\n{format_table(table, right=range(1, len(table[0])))}")


def _parts(source: Source) -> tuple[str, list[tuple[str, Dataset]]]:
    """Return the kind of data, and its parts as `neocog train` would split them; as they are, where it could not."""
    if source.train is None and source.unsplit is None:
        there = (("validation", source.validation), ("test", source.test))
        return source.kind, [(name, part) for name, part in there if part is not None]
    splits = datasets.split(source)
    return splits.source, splits.items()


def _pixels(data: Dataset, size: ImageSize) -> str:
    native = data.native_size
    have = "of different sizes" if native is None else f"{native.height} x {native.width}"
    return f"{have}, {_kind(data.channels)}; trained at {size.height} x {size.width}"


def _kind(channels: int) -> str:
    return KIND_NAMES.get(channels, count(channels, "channel"))


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)
