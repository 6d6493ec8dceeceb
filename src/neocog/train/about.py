"""What is known of a setting of a training beside its type and default: its form, its flag, and who may change it."""

from __future__ import annotations

from dataclasses import Field, dataclass
from typing import Any, Literal

from neocog.train.forms import Form


@dataclass(frozen=True, slots=True)
class Flag:
    """How the command line asks for a setting.

    Arguments:
        name: such as "batch-size".
        help: one sentence.
        default: what holds without it, in words.
        letter: a short form, such as "b".
        value: what stands for the value in a help text; None: the usual for its form.
        most: the largest value that may be asked for there.
        factor: of the unit that is asked for, such as 60 seconds of a minute.
    """

    name: str
    help: str
    default: str = ""
    letter: str = ""
    value: str | None = None
    most: int | None = None
    factor: float = 1.0

    @property
    def key(self) -> str:
        """Its name in a config.json."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting beside its type and default.

    Arguments:
        form: what its value may be.
        flag: how the command line asks for it, if it does.
        resumed: whether a training that goes on may be given another value: by nobody ("fixed"), in Python ("given"),
            or on the command line too ("asked").
        later: whether there are checkpoints without it, of neocog versions that did not know it.
    """

    form: Form
    flag: Flag | None = None
    resumed: Literal["fixed", "given", "asked"] = "given"
    later: bool = False


def described(
    form: Form,
    flag: Flag | None = None,
    *,
    resumed: Literal["fixed", "given", "asked"] = "given",
    later: bool = False,
) -> dict[str, About]:
    """Return the metadata of a field of TrainingSettings, which `about` reads; the arguments are those of About."""
    return {"about": About(form, flag, resumed, later)}


def about(entry: Field[Any]) -> About:
    """Return what is known of a field of TrainingSettings."""
    found: About = entry.metadata["about"]
    return found
