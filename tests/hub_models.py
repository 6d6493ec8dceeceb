"""Models on a hub for tests: one as timm puts it there, one as neocog does."""

from __future__ import annotations

import json

import numpy as np

import neocog as nc
from hub_server import Hub
from neocog.interop.hub.push import files_of
from neocog.interop.hub.repository import Repository
from neocog.model.network import Network
from neocog.train.model import Model
from small_models import make_small

PICTURES = {
    "input_size": [3, 32, 32],
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
CARD = b"---\nlicense: apache-2.0\ntags:\n- timm\n---\n# A model\n"
WIDE = nc.Sequential(nc.Conv2d(8, 3), nc.ReLU(), nc.Flatten(), nc.Linear(40), nc.ReLU(), nc.Linear(2))


def config_of(architecture: str = "mobilenetv1_100", classes: int = 3, **entries: object) -> bytes:
    """Return a config.json as timm writes it."""
    entries = {"architecture": architecture, "num_classes": classes, "pretrained_cfg": PICTURES, **entries}
    return json.dumps(entries).encode()


def weights_of(network: Network) -> bytes:
    """Return the weights of a network as a plain safetensors file."""
    return safetensors_of(network.state_dict())


def safetensors_of(state: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return save(state)


def put_timm(hub: Hub, name: str = "timm/mobilenetv1_100.test", **entries: object) -> Network:
    """Put a model on the hub as timm does; return a network with the same weights."""
    network = Network(nc.zoo.mobilenet_v1(3), (32, 32, 3), seed=7, engine="reference")
    files = {"config.json": config_of(**entries), "model.safetensors": weights_of(network), "README.md": CARD}
    hub.add(name, files)
    return network


def put_pushed(hub: Hub, name: str = "me/dark-or-bright", **settings: bool) -> Model:
    """Put a model on the hub whose file is large enough to lie in the store; return it."""
    model = make_small(Model, WIDE)
    hub.add(name, files_of(model, Repository.parse(name)), **settings)
    return model


def assert_same(one: Network, other: Network) -> None:
    assert list(one.parameters) == list(other.parameters)
    for name, value in one.parameters.items():
        assert value.tobytes() == other.parameters[name].tobytes(), name
