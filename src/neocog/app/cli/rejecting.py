"""`--reject`: which answers a model withholds, because they are too uncertain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from neocog.app.cli.errors import CommandLineError
from neocog.errors import SettingError

if TYPE_CHECKING:
    from neocog.model.calibration import Reject
    from neocog.model.network import Network

    _RejectType = click.ParamType[Reject | None]
else:
    _RejectType = click.ParamType


class RejectOption(_RejectType):
    """coverage=SHARE or precision=SHARE."""

    name = "coverage=X|precision=X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from neocog.model.calibration import Reject

        if isinstance(value, Reject):
            return value
        try:
            return Reject.parse(str(value))
        except SettingError as error:
            raise CommandLineError(f"--{error.message}", hint=error.hint, ctx=ctx) from None


flag = click.option(
    "--reject",
    type=RejectOption(),
    help="Answer unknown where the model is least certain: coverage=0.9 answers nine tenths of the images, "
    "precision=0.95 as many as keep 95 % of the answers right; both as counted on the training's validation images.  "
    "[default: as asked for in training; else all are answered]",
)


def take_reject(model: Network, reject: Reject | None) -> None:
    """Make a model withhold what `--reject` asks for; None leaves it as its file says.

    Raises:
        CommandLineError: its file does not say what its probabilities are worth.
        NeocogError: no threshold gives the precision.
    """
    if reject is None:
        return
    if model.calibration is None:
        why = (
            "it may give several labels an image, each above a threshold of its own"
            if model.loss.several_labels
            else "its file holds no calibration: there were no validation images, or an older neocog wrote it"
        )
        raise CommandLineError(
            f"--reject {reject} cannot be used with this model: {why}",
            hint=None if model.loss.several_labels else "neocog calibrate MODEL DATA makes one",
        )
    model.reject(reject)
