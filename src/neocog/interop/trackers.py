"""Trackers of experiments as callbacks: they get the settings of a training, and the numbers of each of its epochs.

Nothing is sent anywhere unless one of these is asked for; where it then goes is for the tracker's own settings to say.
The step of every number is its epoch, or, where steps are told too, the number of optimizer steps; so that a training
that was resumed goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neocog.errors import NeocogError, SettingError
from neocog.interop.packages import require
from neocog.model.arguments import check_count
from neocog.nn.limits import shown
from neocog.nn.parameters import parameters_of
from neocog.train.callbacks import Callback
from neocog.train.events import BatchResult, Run
from neocog.train.history import COLUMNS, EpochResult

Config = Mapping[str, object]


class _Logger(Callback):
    """Begins with the first epoch, tells of each, and of some steps where asked to, and ends once, however the training
    ends.
    """

    def __init__(self, config: Config | None, every: int | None) -> None:
        self.config = dict(config or {})
        self.every = None if every is None else check_count(f"{type(self).__name__}: every", every)
        self._open = False

    def on_train_begin(self, run: Run) -> None:
        """Begin a run at the tracker."""
        try:
            self._begin({**_facts(run), **self.config}, len(run.history) if self.every is None else run.trainer.steps)
        except NeocogError:
            raise
        except Exception as error:  # whatever a tracker says to its settings, to a disk or to a network
            raise self._failed(error) from None
        self._open = True

    def on_batch_end(self, run: Run, batch: BatchResult) -> None:
        """Tell the tracker a step's numbers, where its turn has come."""
        if self.every is not None and batch.step % self.every == 0:
            self._tell({"batch_loss": batch.batch_loss, "batch_learning_rate": batch.learning_rate}, batch.step)

    def on_epoch_end(self, run: Run, epoch: EpochResult) -> None:
        """Tell the tracker the epoch's numbers."""
        values = {name: getattr(epoch, name) for name in COLUMNS[1:]}
        known = {name: float(value) for name, value in values.items() if value is not None}
        if self.every is None:
            self._tell(known, epoch.epoch)
        else:
            self._tell({"epoch": float(epoch.epoch), **known}, run.trainer.steps)

    def _tell(self, values: dict[str, float], step: int) -> None:
        try:
            self._log(values, step)
        except Exception as error:
            raise self._failed(error) from None

    def on_train_end(self, run: Run) -> None:
        """End the run at the tracker."""
        if self._open:
            self._open = False
            self._end(run.history.stopped)

    def _failed(self, error: Exception) -> NeocogError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return NeocogError(f"{type(self).__name__}: {lines[0]}", details=tuple(lines[1:]))

    def _begin(self, config: dict[str, object], done: int) -> None:
        raise NotImplementedError

    def _log(self, values: dict[str, float], step: int) -> None:
        raise NotImplementedError

    def _end(self, stopped: str) -> None:
        raise NotImplementedError


class Tracker(_Logger):
    """Weights & Biases, Trackio, or whatever else has their three calls: init, log and finish.

    Arguments:
        tracker: "wandb", "trackio", or an object with `init(project, name, config)`, `log(values, step)`, `finish()`.
        project: what runs are listed under.
        name: of the run; None: the tracker makes one up.
        config: what is kept of the run beside the settings of the training; names → JSON values.
        every: tell of each so many-th step too, as `batch_loss` and `batch_learning_rate`; numbers then lie at
            optimizer steps, and those of an epoch at its last one. None: of epochs alone.
        options: more arguments of `init`, such as mode="offline" of wandb.

    Raises:
        NeocogError: the package is not installed. SettingError: the object lacks one of the calls.

    >>> from types import SimpleNamespace
    >>> noted = []
    >>> mine = SimpleNamespace(init=lambda **given: None, log=lambda values, step: noted.append(step), finish=bool)
    >>> callback = Tracker(mine, project="digits")
    """

    def __init__(
        self,
        tracker: Any,
        project: str = "neocog",
        name: str | None = None,
        config: Config | None = None,
        every: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, every)
        if isinstance(tracker, str):
            if tracker not in ("wandb", "trackio"):
                raise SettingError(
                    f"Tracker: the trackers known by name are wandb and trackio, got {shown(tracker)}",
                    hint="pass an object with the calls init, log and finish",
                )
            tracker = require(tracker, tracker, f'Tracker("{tracker}")')
        missing = [call for call in ("init", "log", "finish") if not callable(getattr(tracker, call, None))]
        if missing:
            raise SettingError(f"Tracker: {shown(tracker)} has no {' and no '.join(missing)}")
        self._tracker = tracker
        self._given = {"project": project, "name": name, **options}

    def _begin(self, config: dict[str, object], done: int) -> None:
        self._tracker.init(config=config, **self._given)

    def _log(self, values: dict[str, float], step: int) -> None:
        self._tracker.log(values, step=step)

    def _end(self, stopped: str) -> None:
        self._tracker.finish()


class TensorBoard(_Logger):
    """Event files that TensorBoard shows: `tensorboard --logdir FOLDER`. They need the extra `[tensorboard]`.

    Arguments:
        folder: where the file goes; one for each run, so that its curves have a name.
        config: shown as text, beside the settings of the training.
        every: as for Tracker.

    Raises:
        NeocogError: the package is not installed.
    """

    def __init__(self, folder: str | Path, config: Config | None = None, every: int | None = None) -> None:
        super().__init__(config, every)
        self.folder = Path(folder)
        self._files = require("tensorboard.summary.writer.event_file_writer", "tensorboard", "TensorBoard")
        self._messages = require("tensorboard.compat.proto.event_pb2", "tensorboard", "TensorBoard")
        self._summaries = require("tensorboard.compat.proto.summary_pb2", "tensorboard", "TensorBoard")
        self._text = require("tensorboard.plugins.text.summary_v2", "tensorboard", "TensorBoard")

    def _begin(self, config: dict[str, object], done: int) -> None:
        self._writer = self._files.EventFileWriter(str(self.folder))
        # What an earlier run left in the folder, of epochs or steps that now come again, is not shown any more.
        self._writer.add_event(
            self._messages.Event(
                wall_time=time.time(),
                step=done + 1,
                session_log=self._messages.SessionLog(status=self._messages.SessionLog.START),
            )
        )
        table = "\n".join(
            ["|setting|value|", "|-|-|", *(f"|{_cell(name)}|{_cell(value)}|" for name, value in config.items())]
        )
        self._add(self._text.text_pb("config", table), 0)

    def _log(self, values: dict[str, float], step: int) -> None:
        entries = [self._summaries.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(self._summaries.Summary(value=entries), step)
        self._writer.flush()

    def _add(self, summary: Any, step: int) -> None:
        self._writer.add_event(self._messages.Event(wall_time=time.time(), step=step, summary=summary))

    def _end(self, stopped: str) -> None:
        self._writer.close()


class MLflow(_Logger):
    """A run of MLflow, with parameters and metrics. It needs the extra `[mlflow]`.

    Where MLflow has a run under way, that is used, and left open; else one is begun and ended.

    Arguments:
        experiment: what runs are listed under; it is made if there is none; None: MLflow's own choice.
        name: of the run; None: MLflow makes one up.
        config: further parameters, beside the settings of the training.
        every: as for Tracker.

    MLflow's own settings say where runs are kept, such as the variable MLFLOW_TRACKING_URI.

    Raises:
        NeocogError: the package is not installed.
    """

    LONGEST = 500  # characters of a parameter, which older servers take

    def __init__(
        self,
        experiment: str | None = None,
        name: str | None = None,
        config: Config | None = None,
        every: int | None = None,
    ) -> None:
        super().__init__(config, every)
        self.experiment, self.name = experiment, name
        self._mlflow = require("mlflow", "mlflow", "MLflow")
        self._own = False

    def _begin(self, config: dict[str, object], done: int) -> None:
        active = self._mlflow.active_run()
        self._own = active is None
        if active is None:
            active = self._mlflow.start_run(run_name=self.name, experiment_id=self._experiment())
        # Parameters cannot change: a second training within a run keeps those of the first.
        known = self._mlflow.get_run(active.info.run_id).data.params
        self._mlflow.log_params(
            {name: str(value)[: self.LONGEST] for name, value in config.items() if name not in known}
        )

    def _experiment(self) -> Any:
        if self.experiment is None:
            return None
        found = self._mlflow.get_experiment_by_name(self.experiment)
        return self._mlflow.create_experiment(self.experiment) if found is None else found.experiment_id

    def _log(self, values: dict[str, float], step: int) -> None:
        self._mlflow.log_metrics(values, step=step)

    def _end(self, stopped: str) -> None:
        if self._own:
            self._mlflow.end_run({"failed": "FAILED", "interrupted": "KILLED"}.get(stopped, "FINISHED"))


def _cell(value: object) -> str:
    """Return a value as a cell of a Markdown table."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def _facts(run: Run) -> dict[str, object]:
    """Return what a training is, as JSON values."""
    trainer, graph = run.trainer, run.model.graph
    return {
        "layers": len(graph.nodes),
        "parameters": sum(parameter.size for parameter in parameters_of(graph)),
        "input_shape": list(run.model.input_shape),
        "classes": len(run.model.class_names),
        "images": run.images,
        "epochs": run.epochs,
        "batch_size": trainer.batch_size,
        "optimizer": repr(trainer.optimizer),
        "loss": repr(trainer.loss),
        "seed": trainer.seed,
    }
