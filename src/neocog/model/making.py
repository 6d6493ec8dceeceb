"""Predictors made for networks: by which engine, and in what they compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neocog.engines.base import Engine, Int8Engine, Predictor
from neocog.engines.precision import HOW_TO_QUANTISE
from neocog.errors import SettingError
from neocog.model.arguments import resolve_engine
from neocog.nn.scales import Scales

if TYPE_CHECKING:
    from neocog.model.answering import Answering


def make_predictor(network: Answering) -> Predictor:
    """Return what answers for a network, by its engine, in its precision, with its weights.

    Raises:
        SettingError: the engine does not compute with that, or the network has no scales for int8.
    """
    if network.precision != "int8":
        engine = resolve_engine(network.engine, network.precision)
        return engine.predictor(network.graph, network.weights.arrays, network.threads)
    engine, scales = int8_engine(network.engine), check_scales(network.scales)
    return engine.int8_predictor(network.graph, network.weights.arrays, scales, network.threads)


def int8_engine(wanted: str | Engine) -> Int8Engine:
    """Return an engine, by its name or itself, that computes in int8.

    Raises:
        SettingError: it does not.
    """
    engine = resolve_engine(wanted)
    if not isinstance(engine, Int8Engine):
        raise SettingError(
            f"the {engine.name} engine does not compute in int8",
            hint='the engines "native" and "reference" do',
        )
    return engine


def check_scales(scales: Scales | None) -> Scales:
    """Return scales.

    Raises:
        SettingError: there are none.
    """
    if scales is None:
        raise SettingError("int8 needs scales, and this model has none", hint=HOW_TO_QUANTISE)
    return scales
