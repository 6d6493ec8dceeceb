"""A model to a repository on a hub: model.safetensors, README.md and config.json, in one commit."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from copy import copy
from types import ModuleType

from neocog.errors import SettingError
from neocog.interop.hub.card import Figures, card_of
from neocog.interop.hub.client import CARD, CONFIG, WEIGHTS, library, names
from neocog.interop.hub.refusals import WRITTEN, told
from neocog.interop.hub.repository import MAIN, Repository
from neocog.model.modelfile import document_of, model_bytes
from neocog.model.network import Network

CREATED = "neocog"
"""What config.json says of whose it is, by which `from_hub` knows it."""


def files_of(
    network: Network, place: Repository, *, measured: Figures | None = None, licence: str | None = None
) -> dict[str, bytes]:
    """Return the files of a repository: name → content.

    Which images the model learnt from is left out: who holds an image could tell by it whether the model was trained on
    that image, and a repository is for others.

    Arguments:
        network: the model.
        place: where it will lie.
        measured, licence: as `card_of` takes them.
    """
    network = copy(network)
    network.learnt_from = None
    document = document_of(network)
    config = {
        "library_name": CREATED,
        "neocog_version": document["neocog_version"],
        "num_classes": len(network.class_names),
        "label_names": document["class_names"],
        "input": document["input"],
    }
    return {
        WEIGHTS: model_bytes(network),
        CARD: card_of(network, place, measured=measured, licence=licence).encode(),
        CONFIG: f"{json.dumps(config, ensure_ascii=False, indent=2)}\n".encode(),
    }


def push(
    files: dict[str, bytes],
    place: Repository,
    *,
    public: bool = False,
    message: str = "A model of neocog's",
    quiet: bool = False,
) -> str:
    """Write files to a repository of a hub in one commit; it is made if it is not there.

    Arguments:
        files: name → content, as `files_of` gives them.
        place: where; on its main branch.
        public: whether everybody may see a repository that is made; one that is there stays as it is.
        message: of the commit.
        quiet: whether no progress is shown.

    Returns:
        The address of the commit.

    Raises:
        SettingError: the place names another revision.
        NeocogError: the hub refuses, cannot be reached, or the package is missing; the message says which.
    """
    if place.revision != MAIN:
        raise SettingError(f"a model is written to the main branch, got {place}", hint=f"write {place.name}")
    hub = library()
    with told(hub, place, WRITTEN), _bars(hub, quiet=quiet):
        api = hub.HfApi(**names())
        api.create_repo(place.name, private=not public, exist_ok=True)
        additions = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
        commit = api.create_commit(place.name, additions, commit_message=message)
    return str(commit.commit_url)


@contextlib.contextmanager
def _bars(hub: ModuleType, *, quiet: bool) -> Iterator[None]:
    """Keep huggingface_hub from showing progress, if asked to, and leave its own setting as it was."""
    if not quiet or hub.utils.are_progress_bars_disabled():
        yield
        return
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        hub.utils.enable_progress_bars()
