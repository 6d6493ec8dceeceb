"""last.safetensors: a model file together with what training needs to go on. See docs/formats.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neocog.engines.base import Array, Engine, State
from neocog.errors import FormatError, SettingError
from neocog.model.fields import check_integer, check_keys, check_number
from neocog.model.files import MAX_TRAINING_HEADER, read_tensor_file, tensor_bytes
from neocog.model.json_values import listed, shown_value
from neocog.model.modelfile import (
    MAX_TEXT,
    OPTIMIZER_PREFIX,
    WHOLE,
    document_of,
    network_from,
    whole_tensors_of,
)
from neocog.model.network import Network
from neocog.model.writing import write_atomically
from neocog.nn.parameters import from_pytorch, pytorch_shape, to_pytorch, variables_of
from neocog.reading import expanded
from neocog.train import settings
from neocog.train.history import COLUMNS, PHASE, EpochResult, History
from neocog.train.settings import TrainingSettings

_KEYS = ("step", *settings.REQUIRED, "history", "settings")

_LEAST = dict.fromkeys(("learning_rate", "seconds", "images_per_second"), 0.0)


@dataclass(slots=True)
class Checkpoint:
    """A training that can go on, as it was after an epoch.

    Arguments:
        model: with the parameters after that epoch.
        memory: the optimizer's, and what follows the weights: "0.weight/mean" → array in memory layout.
        step: steps taken so far; what Dropout drops depends on it.
        settings: what it was started with. The epochs done are `len(history)`.
        history: the epochs done.
        config: JSON values of the caller, such as where the images are.
        best_parameters: those of the best epoch, where they are known; they are not in this file.
    """

    model: Network
    memory: State
    step: int
    settings: TrainingSettings
    history: History = field(default_factory=History)
    config: dict[str, Any] = field(default_factory=dict)
    best_parameters: Mapping[str, Array] | None = None

    def measured(self) -> Mapping[str, Array]:
        """Return the weights that were measured: the model's, or what stands in for them, such as their average."""
        found = dict(self.model.parameters)
        for follower in self.settings.for_engine().followers:
            if follower.stands_in:
                found |= {name: self.memory.get(f"{name}/{follower.name}", value) for name, value in found.items()}
        return found


def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a checkpoint, atomically.

    Raises:
        NeocogError: the file cannot be written.
        SettingError: it holds what files cannot say; see `checkpoint_bytes`.
    """
    write_atomically(path, checkpoint_bytes(checkpoint))


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """Lay a checkpoint out as the bytes of its file.

    Raises:
        SettingError: `config` holds what JSON cannot say, or the network a layer that files do not know.
    """
    training = {
        "step": checkpoint.step,
        **settings.to_json(checkpoint.settings),
        "history": [
            {name: getattr(epoch, name) for name in (*COLUMNS, *([PHASE] if epoch.phase else []))}
            for epoch in checkpoint.history.epochs
        ],
        "settings": checkpoint.config,
    }
    tensors = checkpoint.model.state_dict()
    variables = {variable.name: variable for variable in variables_of(checkpoint.model.graph)}
    for key, value in checkpoint.memory.items():
        converted = to_pytorch(variables[key.rpartition("/")[0]], value)
        tensors[OPTIMIZER_PREFIX + key] = np.asarray(converted, np.float32)
    try:
        document = {**document_of(checkpoint.model), "training": training}
        whole = whole_tensors_of(checkpoint.model)
        return tensor_bytes(document, tensors, whole, most_header=MAX_TRAINING_HEADER)
    except SettingError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(f"config of a checkpoint must be JSON values: {error}") from None


def load_checkpoint(
    path: str | Path,
    *,
    engine: str | Engine = "native",
    threads: int | None = None,
    kind: type[Network] = Network,
) -> Checkpoint:
    """Read a checkpoint.

    Arguments:
        path: a last.safetensors.
        engine, threads: what its model shall run on, as for Network.
        kind: what its model shall be: Network, or a class on top of it.

    Raises:
        FormatError: there is no such file, it is damaged, or it holds no training; the message says what and where.
    """
    path = expanded(path)
    content = read_tensor_file(path, WHOLE, most_header=MAX_TRAINING_HEADER)
    if "training" not in content.document:
        raise FormatError(
            f"{path} holds a model but no training state to resume",
            hint="resume from the last.safetensors of a run folder",
        )
    training = content.document.pop("training")
    weights: State = {}
    memory: State = {}
    for name, value in content.tensors.items():
        if name.startswith(OPTIMIZER_PREFIX):
            memory[name.removeprefix(OPTIMIZER_PREFIX)] = value
        else:
            weights[name] = value
    model = network_from(str(path), replace(content, tensors=weights), kind, engine=engine, threads=threads)
    try:
        return _read_training(model, memory, training)
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", details=error.details, hint=error.hint) from None


def _read_training(model: Network, memory: State, data: object) -> Checkpoint:
    entries = check_keys("training", data, _KEYS, settings.OPTIONAL)
    if not isinstance(entries["settings"], dict):
        raise FormatError(f"training.settings must be an object, got {shown_value(entries['settings'])}")
    trained_with = settings.from_json("training", entries)
    return Checkpoint(
        model=model,
        memory=_read_memory(model, trained_with, memory),
        step=check_integer("training.step", entries["step"]),
        settings=trained_with,
        history=_read_history(entries["history"]),
        config=entries["settings"],
    )


def _read_memory(model: Network, trained_with: TrainingSettings, memory: State) -> State:
    try:
        wanted = trained_with.for_engine().slots(model.graph)
    except SettingError as error:
        raise FormatError(f"training: {error.message}", details=error.details) from None
    faults = [f"missing: {OPTIMIZER_PREFIX}{key}" for key in wanted if key not in memory]
    faults += [f"unknown: {shown_value(OPTIMIZER_PREFIX + key)}" for key in memory if key not in wanted]
    if faults:
        raise FormatError("the optimizer's tensors are not those of its kind", details=listed(faults))
    converted: State = {}
    for key, parameter in wanted.items():
        shape = pytorch_shape(parameter)
        if memory[key].shape != shape:
            raise FormatError(f"tensor {OPTIMIZER_PREFIX}{key} must have the shape {shape}, got {memory[key].shape}")
        converted[key] = np.asarray(from_pytorch(parameter, memory[key]), np.float32)
    return converted


def _read_history(data: object) -> History:
    if not isinstance(data, list):
        raise FormatError(f"training.history must be a list, got {shown_value(data)}")
    epochs = []
    for index, entry in enumerate(data):
        where = f"training.history[{index}]"
        values = dict(check_keys(where, entry, COLUMNS, (PHASE,)))
        if not isinstance(values.get(PHASE, ""), str) or len(values.get(PHASE, "")) > MAX_TEXT:
            raise FormatError(f"{where}.{PHASE} must be a short text, got {shown_value(values[PHASE])}")
        if values["epoch"] != index + 1 or type(values["epoch"]) is not int:
            raise FormatError(f"{where}.epoch must be {index + 1}, got {shown_value(values['epoch'])}")
        for name in COLUMNS[1:]:
            if values[name] is not None or not name.startswith("val_"):
                check_number(f"{where}.{name}", values[name], _LEAST.get(name))
        epochs.append(EpochResult(**values))
    return History(epochs)
