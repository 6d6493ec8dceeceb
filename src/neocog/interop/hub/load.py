"""A model from a repository on a hub: one of timm's, or one that neocog pushed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neocog.engines.base import Engine
from neocog.engines.precision import Precision, check_precision
from neocog.interop.hub.card import licence_in
from neocog.interop.hub.client import CARD, CONFIG, WEIGHTS, Checkout
from neocog.interop.hub.push import CREATED
from neocog.interop.hub.repository import Repository
from neocog.interop.hub.timm import Config, read_config
from neocog.interop.pytorch.checkpoint import open_state
from neocog.interop.pytorch.load import take_tensors
from neocog.model.arguments import check_names
from neocog.model.files import MAX_FILE
from neocog.model.json_values import parse_json
from neocog.model.modelfile import load_network
from neocog.model.origin import Origin
from neocog.reading import read_file
from neocog.train.model import Model

MOST_CONFIG = 10_000_000
MOST_CARD = 1_000_000
"""Bytes of these files."""


def from_hub(
    name: str,
    *,
    class_names: Sequence[str] | None = None,
    cached: bool = False,
    engine: str | Engine = "native",
    threads: int | None = None,
    precision: Precision = "float32",
    quiet: bool = False,
) -> Model:
    """Return a model from a hub: one of timm's, such as timm/resnet18.a1_in1k, or one that `neocog push` made.

    It needs the extra [hub] (`pip install 'neocog[hub]'`), which fetches files into its cache once, and goes on where a
    connection broke off. huggingface_hub's environment variables hold: HF_TOKEN for what is private, HF_HUB_OFFLINE,
    HF_HUB_CACHE, HF_ENDPOINT. Nothing that is fetched is executed, and each file is compared with its digest.

    Arguments:
        name: `owner/name`, behind "@" a branch, a tag or a commit.
        class_names: in place of those that config.json has. timm's has none where the classes are ImageNet's: they are
            then called "0", "1", ...
        cached: whether the hub shall not be asked, nor whether there is a newer commit: what the cache has will do.
        engine, threads, precision: what the model shall run on and compute with, as for `neocog.Model`.
        quiet: whether no progress is shown; where stderr is no terminal, none is.

    Returns:
        The model with its weights, the preprocessing of config.json, and its `origin`: repository, commit, licence and
        SHA-256.

    Raises:
        NeocogError: there is no such repository, it may not be read, the hub cannot be reached, the disk is full, or
            the package is missing; the message says which.
        FormatError: it holds no such model, a damaged one, or one of a network that neocog does not have.
        SettingError: `precision` is none, or int8 for a model without scales.

    >>> import neocog as nc
    >>> model = nc.from_hub("timm/resnet18.a1_in1k")  # doctest: +SKIP
    >>> model.predict(["cat.jpg"])  # doctest: +SKIP
    """
    check_precision(precision)  # before anything is fetched
    place = Repository.parse(name)
    checkout = Checkout(place, cached=cached, quiet=quiet)
    entries = parse_json(read_file(checkout.file(CONFIG, MOST_CONFIG), MOST_CONFIG), f"{place}: {CONFIG}")
    if entries.get("library_name") == CREATED:
        model = _pushed(checkout, engine, threads)
    else:
        config = read_config(f"{place}: {CONFIG}", entries)
        model = _of_timm(checkout, config, engine, threads)
    if class_names is not None:
        model.class_names = check_names(class_names, model.graph.classes)
    model.precision = precision
    return model


def file_from_hub(name: str, *, quiet: bool = False) -> Path:
    """Return where the weights of a model on a hub lie now; see `from_hub`."""
    return Checkout(Repository.parse(name), quiet=quiet).file(WEIGHTS, MAX_FILE)


def _pushed(checkout: Checkout, engine: str | Engine, threads: int | None) -> Model:
    """Return a model that neocog wrote: all that it needs is in its file."""
    path = checkout.file(WEIGHTS, MAX_FILE)
    model = load_network(path, Model, engine=engine, threads=threads)
    began = model.origin
    about = "a model that neocog pushed"
    if began is not None:
        about = f"{about}; it began with {began.source[:500]}, licence {(began.licence or 'not known')[:200]}"
    model.origin = _origin(checkout, about)
    return model


def _of_timm(checkout: Checkout, config: Config, engine: str | Engine, threads: int | None) -> Model:
    model = Model(
        config.architecture.graph(config.classes, config.image),
        config.image,
        config.class_names,
        **config.preprocessing.arguments,
        engine=engine,
        threads=threads,
    )
    path = checkout.file(WEIGHTS, MAX_FILE)
    take_tensors(model, open_state(path).tensors, f"{path}: ")
    unnamed = "" if config.class_names is not None else ", whose names are not said"
    model.origin = _origin(checkout, f"timm's {config.name}, {config.classes:,} classes{unnamed}")
    return model


def _origin(checkout: Checkout, about: str) -> Origin:
    card = checkout.optional(CARD, MOST_CARD)
    licence = None if card is None else licence_in(read_file(card, MOST_CARD).decode("utf-8", "replace"))
    return Origin(f"{checkout.place.name}@{checkout.commit}", licence, checkout.digests[WEIGHTS], about)
