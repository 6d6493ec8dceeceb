"""The scales of a network that predicts in int8, as a model file has them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neocog.errors import FormatError
from neocog.model.fields import check_keys, check_number
from neocog.model.json_values import shown_value
from neocog.nn.limits import MAX_LAYERS
from neocog.nn.scales import Scales


def scales_to_json(scales: Scales) -> dict[str, object]:
    """Return scales as JSON values, in as few digits as tell numbers of float32 apart."""
    values = {name: _short(scales.values[name]) for name in sorted(scales.values)}
    return {"image": _short(scales.image), "values": values}


def scales_from_json(data: object) -> Scales:
    """Return what `scales_to_json` gave as scales.

    Raises:
        FormatError: it is of another form. SettingError: a number is no scale.

    >>> scales_from_json(scales_to_json(Scales(1 / 3, {"1": 0.1}))) == Scales(1 / 3, {"1": 0.1})
    True
    """
    entry = check_keys("scales", data, ("image", "values"))
    values = entry["values"]
    if not isinstance(values, Mapping) or len(values) > MAX_LAYERS:
        raise FormatError(
            f"scales.values must be an object of at most {MAX_LAYERS:,} numbers, got {shown_value(values)}"
        )
    return Scales(
        check_number("scales.image", entry["image"]),
        {name: check_number(f"scales.values.{shown_value(name)}", value) for name, value in values.items()},
    )


def _short(value: float) -> float:
    return float(str(np.float32(value)))
