"""The native engine: networks compiled to machine code for their exact shapes on this machine.

calls.py        what prediction and training have in common: a program made runnable, its images, its answers
parameters.py   parameters between arrays and the blocks in which programs keep them
prediction.py   a network that answers
training.py     a network that learns
gradient.py     a gradient that goes back through a network to one value
sliced.py       a network that learns together with other processes
engine.py       the protocol
"""

from __future__ import annotations

from neocog.engines.native.engine import NativeEngine as NativeEngine
from neocog.engines.native.prediction import PEAKS_BATCH as PEAKS_BATCH
from neocog.engines.native.prediction import NativePredictor as NativePredictor
from neocog.engines.native.training import NativeTrainProgram as NativeTrainProgram
