"""Every setting of a training, once: its default, what it may be, how files hold it, and its flag on the command line.

A new setting is a field of `TrainingSettings` and a line of `MoreGiven` (given.py). `Model.fit`, `fit`, checkpoints,
run folders and `neocog train` then know it; where engines must know it too, `for_engine` hands it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, cast

from neocog.data.augment.transform import Transform
from neocog.data.sampling import ALL, BALANCED, Sampling
from neocog.engines.base import StepSettings
from neocog.engines.precision import Precision
from neocog.errors import FormatError, SettingError
from neocog.model.arguments import MAX_SEED
from neocog.nn.followers import EMA
from neocog.nn.groups import GradientClip, Group, Penalty
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.optimizers import Adam, Optimizer
from neocog.nn.schedules import Cosine, Schedule
from neocog.nn.slicing import Slicing
from neocog.train.about import Flag, about, described
from neocog.train.forms import Augmentation, OneOf, Real, Several, Text, Whole, Word, YesNo

if TYPE_CHECKING:
    from neocog.train.given import Given

DEFAULT_EPOCHS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """The settings of a training, with nothing left open but what may be absent.

    Arguments:
        epochs: passes over the images, those before a resume included; None: as many as `time_limit` lets it. Without
            either, 5.
        batch_size: the most images of a step.
        optimizer: how parameters follow their gradients.
        loss: what each step makes smaller. Models and `fit` take the model's where none is given.
        schedule: the way of the learning rate over all epochs.
        seed: decides orders, splits and what Dropout drops. Same seed, same bits. Models and `fit` take the model's
            where none is given.
        patience: stop after so many epochs without a better one, where the mean over three epochs is what counts, so
            that one lucky epoch does not; see EpochResult.score for what is better.
        time_limit: seconds, those before a resume included, after which training has ended, within an epoch too, the
            last measurement included; the schedule follows whichever is further, the clock or the images.
        keep: which epoch's weights a run folder's model.safetensors holds, and a model that is to end on these: the
            "best" epoch's, or the "last" one's, which no validation image chose.
        freeze: names of layers ("0", "3.*") or parameters ("*.bias") that stay as they are; see `Group`. A frozen
            BatchNorm2d still takes the batch's statistics and averages them, as in PyTorch.
        groups: parameters with a learning rate or a weight decay of their own.
        ema: decay of a running average of the weights, which is measured, kept and in the end used in their place;
            about 1 / (1 - ema) steps count. None: no average.
        clip_norm: gradients of all parameters that are together longer than this are scaled down to it; see
            `GradientClip`.
        clip_value: no number of a gradient is further from 0 than this; goes before `clip_norm`.
        augment: what is done to images at random before each step, in this order, such as
            `(nc.RandomFlip(), nc.RandomCrop(4))`, or "flip,crop=4"; see `neocog.data.augment`. It hangs on seed, epoch
            and image alone.
        sampling: which images an epoch shows: "all" of them once, or of each class as many ("balanced"), rare ones
            several times; see `neocog.data.sampling`. It hangs on seed and epoch alone.
        l1, l2: penalties on the weights of convolutions and fully connected layers, beside the optimizer's own weight
            decay; see `Penalty`.
        slices: how many parts a step's batch is cut into, whose gradients are added up in an order that never changes,
            so that several processes which share them get the same bits as one (see `neocog.nn.slicing`). None: where
            processes share a training 8, or fewer for small batches, or as many as there are processes; else it is
            not cut.
        sync_bn: whether each BatchNorm2d takes the statistics of the whole batch where this is cut into slices, and not
            those of each slice.
        precision: what steps compute with: "float32"; "bfloat16", to which factors of products are rounded, while
            parameters, their gradients and sums stay float32; or "auto", bfloat16 where the processor multiplies tiles
            of it (see `neocog.engines.precision`). Models and `fit` take the model's where none is given.

    Raises:
        SettingError: a value is out of its range.

    >>> TrainingSettings(batch_size=32).epochs
    5
    """

    epochs: int | None = field(
        default=None,
        metadata=described(
            Whole(),
            Flag(
                "epochs",
                "Passes over the training images.",
                "as many as two cores do in about 5 minutes; at least 8, at most 60",
                most=2**31 - 1,
            ),
            resumed="asked",
        ),
    )
    batch_size: int = field(
        default=64,
        metadata=described(
            Whole(),
            Flag("batch-size", "Images per batch.", "16 to 128, the more images there are", letter="b", most=65536),
        ),
    )
    optimizer: Optimizer = field(default=Adam(learning_rate=0.001), metadata=described(OneOf(Optimizer, "SGD(0.01)")))
    loss: Loss = field(default=CrossEntropy(), metadata=described(OneOf(Loss, "CrossEntropy()")))
    schedule: Schedule = field(default=Cosine(warmup=0.05), metadata=described(OneOf(Schedule, "Cosine()")))
    seed: int = field(
        default=0,
        metadata=described(
            Whole(0, MAX_SEED),
            Flag("seed", "Random seed: the same seed gives the same result.", "0", most=2**63 - 1),
        ),
    )
    patience: int | None = field(
        default=None,
        metadata=described(
            Whole(), Flag("patience", "Stop after N epochs without improvement.", most=2**31 - 1), resumed="asked"
        ),
    )
    keep: Literal["best", "last"] = field(
        default="best",
        metadata=described(
            Word(("best", "last")),
            Flag(
                "keep",
                "Which epoch's weights are kept: those best on validation images, or the last.",
                "last, or best where the learning rate does not fall to the end",
            ),
            later=True,
        ),
    )
    time_limit: float | None = field(
        default=None,
        metadata=described(
            Real(above=True, unit="seconds"),
            Flag("time", "Train for so long, such as 10m (or 10), 90s or 1h.", value="TIME", factor=60.0),
            resumed="asked",
        ),
    )
    freeze: tuple[str, ...] = field(
        default=(),
        metadata=described(
            Several(Text()),
            Flag("freeze", "Layers that stay as they are, such as 0,3.* (see neocog info MODEL).", value="LAYERS"),
            resumed="fixed",
            later=True,
        ),
    )
    groups: tuple[Group, ...] = field(
        default=(), metadata=described(Several(OneOf(Group, 'Group("0", learning_rate=0.1)')), later=True)
    )

    ema: float | None = field(
        default=None,
        metadata=described(
            Real(0, 1),
            Flag(
                "ema",
                "Use a running average of the weights, with this decay, such as 0.999; 0: none.",
                "by steps",
            ),
            resumed="fixed",
            later=True,
        ),
    )

    clip_norm: float | None = field(
        default=None,
        metadata=described(
            Real(above=True),
            Flag("clip-norm", "Scale gradients down that are, all together, longer than this.", "no limit"),
            later=True,
        ),
    )
    clip_value: float | None = field(
        default=None,
        metadata=described(
            Real(above=True),
            Flag("clip-value", "Keep each number of a gradient within this distance of 0.", "no limit"),
            later=True,
        ),
    )
    l1: float = field(
        default=0.0,
        metadata=described(Real(), Flag("l1", "Pull all weights to 0 by the same: L1 penalty.", "0"), later=True),
    )
    l2: float = field(
        default=0.0,
        metadata=described(
            Real(), Flag("l2", "Pull weights to 0 by their size: L2 penalty, whatever the optimizer.", "0"), later=True
        ),
    )
    sampling: Sampling = field(
        default=ALL,
        metadata=described(
            Word((ALL, BALANCED)),
            Flag("sampling", "Which images an epoch shows: all of them once, or of each class as many.", ALL),
            resumed="fixed",
            later=True,
        ),
    )
    augment: tuple[Transform, ...] = field(
        default=(),
        metadata=described(
            Augmentation(),
            Flag(
                "augment",
                "Change images at random, a little differently in every epoch, such as flip,crop=4,jitter, or none.",
                "as the images are: shifts or crops, and flips where they may be mirrored",
                value="LIST",
            ),
            resumed="fixed",
            later=True,
        ),
    )

    slices: int | None = field(
        default=None,
        metadata=described(
            Whole(1, 65536),
            Flag(
                "slices",
                "Parts of a batch that several processes share; as many give the same result on any number of them.",
                "8 with several processes, fewer for small batches",
            ),
            resumed="fixed",
            later=True,
        ),
    )
    sync_bn: bool = field(
        default=False,
        metadata=described(
            YesNo(),
            Flag("sync-bn", "Normalize by the statistics of the whole batch, of all processes, and not of a slice."),
            resumed="fixed",
            later=True,
        ),
    )

    precision: Precision = field(
        default="float32",
        metadata=described(
            Word(("float32", "bfloat16", "auto")),
            Flag(
                "precision",
                "What to compute with: float32; bfloat16, for processors that multiply tiles of it (AMX), and slower "
                "on others; auto, bfloat16 on those processors.",
                "float32",
            ),
            resumed="fixed",
            later=True,
        ),
    )

    def __post_init__(self) -> None:
        if self.precision == "int8":
            raise SettingError(
                "a training computes in float32 or bfloat16, not in int8",
                hint="leave it out, and quantise the model when it is trained",
            )
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is not None or entry.default is not None:
                object.__setattr__(self, entry.name, about(entry).form.checked(entry.name, value))
        if self.epochs is None and self.time_limit is None:
            object.__setattr__(self, "epochs", DEFAULT_EPOCHS)

    def given(self) -> Given:
        """Return them as `fit` takes them."""
        return cast("Given", {entry.name: getattr(self, entry.name) for entry in fields(self)})

    def for_engine(self) -> StepSettings:
        """Return what an engine makes a training program for."""
        return StepSettings(
            self.loss,
            self.optimizer,
            self.batch_size,
            self.seed,
            groups=self.groups,
            frozen=self.freeze,
            followers=() if self.ema is None else (EMA(self.ema),),
            clip=GradientClip(self.clip_norm, self.clip_value),
            penalty=Penalty(self.l1, self.l2),
            slicing=None if self.slices is None else Slicing(self.slices, self.sync_bn),
        )


def to_json(settings: TrainingSettings) -> dict[str, object]:
    """Return settings as JSON values; later ones that have their defaults are left out, as older files did."""
    data: dict[str, object] = {}
    for entry in fields(settings):
        value, known = getattr(settings, entry.name), about(entry)
        if not known.later or value != entry.default:
            data[entry.name] = None if value is None else known.form.to_json(value)
    return data


def from_json(where: str, data: Mapping[str, Any]) -> TrainingSettings:
    """Return what `to_json` gave as settings.

    Raises:
        FormatError: a value is out of its range.
    """
    values: dict[str, Any] = {}
    for entry in fields(TrainingSettings):
        if entry.name not in data:
            continue
        place, value = f"{where}.{entry.name}", data[entry.name]
        missing = value is None and entry.default is None
        values[entry.name] = None if missing else about(entry).form.from_json(place, value)
    try:
        return TrainingSettings(**values)
    except SettingError as error:
        raise FormatError(f"{where}: {error.message}") from None


REQUIRED = tuple(entry.name for entry in fields(TrainingSettings) if not about(entry).later)
"""Settings that every checkpoint holds."""

OPTIONAL = tuple(entry.name for entry in fields(TrainingSettings) if about(entry).later)
"""Settings that a checkpoint may lack."""
