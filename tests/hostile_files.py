"""Small files of a training, to be changed in tests, and how much memory reading one may take."""

import contextlib
import tracemalloc

import numpy as np

from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of, whole_tensors_of
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.optimizers import Adam
from neocog.nn.schedules import Cosine
from neocog.train.checkpoint import Checkpoint, checkpoint_bytes
from neocog.train.history import COLUMNS, EpochResult, History
from neocog.train.model import Model
from neocog.train.settings import TrainingSettings
from neocog.train.trainer import Trainer

NET = Sequential(Conv2d(2, 3, padding=1), ReLU(), MaxPool2d(2), Sequential(Flatten(), Dropout(0.1), Linear(2)))
MODEL = Model(NET, (4, 4, 1), ["left", "right"], mean=0.25, std=0.1, engine="reference")
MODEL.metrics = {"epoch": 1, "accuracy": 0.5}
MODEL.learnt_from = np.array([3, 5, 2**64 - 1], np.uint64)
MODEL_FILE = tensor_bytes(document_of(MODEL), MODEL.state_dict(), whole_tensors_of(MODEL))
MOST_MEMORY = 64 << 20  # bytes that reading a file of a few kilobytes may take


def _checkpoint() -> bytes:
    trainer = Trainer(MODEL, Adam(0.01))
    trainer.step(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]))
    epochs = [EpochResult(n, 0.5, 0.75, 0.6, 0.5, 0.01, 1.5, 99.0) for n in (1, 2)]
    made = Checkpoint(
        MODEL,
        trainer.optimizer_state(),
        step=4,
        settings=TrainingSettings(
            epochs=3, batch_size=2, seed=1, optimizer=Adam(0.01), schedule=Cosine(), patience=2, time_limit=60.0
        ),
        history=History(epochs),
        config={"data": "x", "images": {"train": 3}},
    )
    return checkpoint_bytes(made)


CHECKPOINT = _checkpoint()


@contextlib.contextmanager
def within_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


LINES = "\n".join([",".join(COLUMNS), "1,0.5,0.5,,,0.1,1.0,9.0", "2,0.4,0.6,0.5,0.5,0.1,1.0,9.0", ""])
