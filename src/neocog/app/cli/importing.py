"""`neocog import FILE`: weights of PyTorch, or an ONNX file, as a model file of neocog's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from neocog.app.cli import options
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.info import model_facts
from neocog.app.cli.output import count, emit, format_table, print_json
from neocog.app.cli.verb import Verb
from neocog.data.resize import ResizeRule
from neocog.errors import FormatError
from neocog.interop.architectures import Architecture
from neocog.interop.hub.load import MOST_CONFIG
from neocog.interop.hub.timm import Config, read_config
from neocog.interop.labels import read_labels
from neocog.interop.opening import ONNX
from neocog.interop.preprocessing import NAMED, Preprocessing
from neocog.interop.pytorch.checkpoint import StateFile, open_state
from neocog.interop.pytorch.load import classes_in, load_pytorch, pads_as_tensorflow
from neocog.model.json_values import parse_json
from neocog.model.modelfile import save
from neocog.model.network import Network
from neocog.model.origin import Origin
from neocog.reading import cause_of, read_file
from neocog.text import printable
from neocog.train.model import Model

_LICENCES = ("license", "licence")  # what safetensors files keep it under, where they do
_ENDING = ".safetensors"


@click.command("import", cls=Verb)
@click.argument("file", type=options.Place(), metavar="FILE")
@click.option("--model", "-m", "name", metavar="NAME", help="Network that the weights are of: see neocog models.")
@click.option("--labels", type=options.Place(), help="Text file of class names, one a line.  [default: numbers]")
@click.option("--output", "-o", type=options.Place(), help="Model file to write.  [default: NAME.safetensors]")
@click.option("--config", type=options.Place(), help="timm's config.json, which says the network and its pictures.")
@click.option("--img-size", type=options.SizeOption(), help="Pixels of its images.  [default: as it was made for]")
@click.option(
    "--preprocessing",
    type=options.WordOption(tuple(NAMED)),
    help="Whose pictures it knows: see docs/pytorch.md.  [default: those of its usual weights]",
)
@click.option("--resize", metavar="RULE", help="How pictures get its size: stretch, crop=0.875,bicubic, short=256, ...")
@click.option("--mean", metavar="X|R,G,B", help="What is subtracted from pixels: one number, or one a channel.")
@click.option("--std", metavar="X|R,G,B", help="What they are divided by then.")
@click.option(
    "--range",
    "white",
    type=options.WholeOption(1, 255),
    default=1,
    show_default=True,
    help="White, in the numbers of --mean and --std: 1 or 255.",
)
@click.option("--source", metavar="TEXT", help="Where the weights are to be had.  [default: the name of FILE]")
@click.option("--license", "licence", metavar="TEXT", help="Their licence.  [default: what FILE says, or not known]")
@options.as_json
def command(
    file: Path,
    name: str | None,
    labels: Path | None,
    output: Path | None,
    config: Path | None,
    img_size: tuple[int, int] | None,
    preprocessing: str | None,
    resize: str | None,
    mean: str | None,
    std: str | None,
    white: int,
    source: str | None,
    licence: str | None,
    as_json: bool,
) -> None:
    """Make a model of weights from elsewhere, with class names, preprocessing and where it came from.

    FILE is a state dict of PyTorch, .safetensors, .pth or .pt, of the network that --model names: one of neocog models,
    or timm's name of it, with tf_ before where the weights are TensorFlow's. Or it is an .onnx file. Nothing in it is
    run.
    """
    if white != 1 and (mean is None or std is None):
        raise CommandLineError(
            f"--range {white} says what the numbers of --mean and --std mean, and both must be there",
            hint=f"for pixels from 0 to {white} as they are: --mean 0 --std 1 --range {white}",
        )
    if output is not None and output.suffix.lower() == ONNX:
        raise CommandLineError(
            f"a model file is written, and {output} would be taken for an ONNX file",
            hint=f"name it {output.with_suffix(_ENDING)}; neocog export writes ONNX files",
        )
    given = _Given(resize, mean, std, float(white))
    if file.suffix.lower() == ONNX:
        for flag, value in (("--model", name), ("--config", config), ("--preprocessing", preprocessing)):
            if value is not None:
                raise CommandLineError(
                    f"{flag} is for weights; an .onnx file has its network in it",
                    hint="--mean, --std, --range and --resize say how its pictures are prepared",
                )
        model, word = _from_onnx(file, labels, img_size, given), file.stem
    else:
        known = None if config is None else _config(config)
        if name is None and known is None:
            raise CommandLineError(
                "weights need the name of their network", hint="add --model NAME; neocog models lists them"
            )
        if name is not None and known is not None and not _same_network(name, known):
            raise CommandLineError(
                f"--model {name} is another network than {config} says: {known.name}", hint="leave one of them out"
            )
        word = name or (known.name if known is not None else "")
        model = _from_weights(open_state(file), word, known, labels, img_size, preprocessing, given)
    _told_origin(model, source, licence)
    path = output if output is not None else Path(f"{word.rpartition('/')[2]}{_ENDING}")
    if path.exists() and (output is None or path.samefile(file)):
        raise CommandLineError(f"{path} is there already", hint="name another file with --output")
    save(model, path)
    if as_json:
        print_json(model_facts(model, path))
        return
    emit(format_table(_rows(model, path, word)))


class _Given:
    """The preprocessing that flags say."""

    def __init__(
        self,
        resize: str | None,
        mean: str | None,
        std: str | None,
        white: float,
    ) -> None:
        self.resize = None if resize is None else ResizeRule.parse(resize)
        self.mean, self.std, self.white = _numbers("--mean", mean), _numbers("--std", std), white

    def over(self, usual: Preprocessing) -> Preprocessing:
        """Return what is usual, but for what flags say."""
        mean, std = (
            None if values is None else tuple(value / self.white for value in values)
            for values in (self.mean, self.std)
        )
        return Preprocessing(self.resize or usual.resize, mean or usual.mean, std or usual.std)


def _numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    """Return one number, or one for each channel, with commas between."""
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise CommandLineError(f"{flag} must be numbers with commas between, got {text!r}") from None


def _config(path: Path) -> Config:
    try:
        return read_config(str(path), parse_json(read_file(path, MOST_CONFIG), str(path)))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None


def _same_network(name: str, config: Config) -> bool:
    """Tell whether --model and a config.json name one network, by whichever of its names."""
    wanted, said = Architecture.named(name), config.architecture
    return (wanted.name, wanted.tensorflow) == (said.name, said.tensorflow)


def _from_weights(
    file: StateFile,
    name: str,
    config: Config | None,
    labels: Path | None,
    size: tuple[int, int] | None,
    preprocessing: str | None,
    given: _Given,
) -> Network:
    architecture = config.architecture if config is not None else Architecture.named(name)
    if not architecture.tensorflow and pads_as_tensorflow(file, architecture.graph(2)):
        architecture = architecture.as_tensorflow
    usual_image = architecture.image
    image = (usual_image.height, usual_image.width, usual_image.channels) if config is None else config.image
    if size is not None:
        image = (*size, image[2])
    classes = classes_in(file, architecture.graph(2, image)) or (config.classes if config is not None else 2)
    names: Sequence[str] | None = config.class_names if config is not None else None
    if labels is not None:
        names = read_labels(labels, classes)
    usual = Preprocessing.named(preprocessing or architecture.preprocessing, min(image[:2]))
    if config is not None and preprocessing is None:
        usual = config.preprocessing
    model = Model(
        architecture.graph(classes, image),
        image,
        names,
        **given.over(usual).arguments,
        engine="reference",  # which nothing is compiled for
    )
    load_pytorch(file, model)
    stated = next((file.texts[key] for key in _LICENCES if file.texts.get(key)), None)
    if model.origin is not None:
        model.origin = Origin(model.origin.source, stated, model.origin.sha256, name)
    return model


def _from_onnx(file: Path, labels: Path | None, size: tuple[int, int] | None, given: _Given) -> Network:
    from neocog.interop.onnx.reader import from_onnx  # here, since it needs a package that weights do without

    more: dict[str, Any] = {"resize": given.resize} if given.resize is not None else {}
    if given.mean is not None or given.std is not None:
        more |= {"mean": given.mean or 0.0, "std": given.std or 1.0, "value_range": given.white}
    return from_onnx(
        file,
        class_names=labels,
        input_shape=size,
        engine="reference",
        **more,
    )


def _told_origin(model: Network, source: str | None, licence: str | None) -> None:
    """Put what the command line says of where weights came from over what the file does."""
    origin = model.origin
    if origin is not None and (source is not None or licence is not None):
        model.origin = Origin(source or origin.source, licence or origin.licence, origin.sha256, origin.about)


def _rows(model: Network, path: Path, name: str) -> list[tuple[str, str]]:
    height, width, channels = model.input_shape
    used = Preprocessing(model.resize, model.graph.normalisation.mean, model.graph.normalisation.std)
    licence = model.origin.licence if model.origin is not None else None
    return [
        ("model", f"{printable(str(path))} ({path.stat().st_size:,} bytes)"),
        ("network", f"{printable(name)}, {count(len(model.class_names), 'class', 'classes')}"),
        ("input", f"{height} x {width} x {channels}, {used}"),
        ("licence", printable(licence or "not known; --license says it")),
        ("next", f"neocog predict {printable(str(path))} IMAGE"),
    ]
