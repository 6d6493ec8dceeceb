"""What a network computes, as numbers: `nc.explain`. Every function takes a model, most of them an image too.

    the arithmetic of one image      trace, activation, window, pooling, steps, terms, gradients, as_fully_connected
    what normalizations expect       batch_statistics
    what filters look for            top_patches, maximise, occlusion, gradcam, randomised, rank_correlation
    the same pattern elsewhere       shift, downsample, receptive_field
    the worked example               lesson_model, lesson_image
    all of it on a page              show, in a notebook; `neocog explain` on the command line

Each is computed in float64 by the reference engine, or by the model's own engine where many images are asked about.
What layers compute is explained of an image as it is. Probabilities and answers are those of `predict`: with the
model's temperature, what it rejects, and the mean over its views.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neocog.explain.apart import steps as steps
from neocog.explain.control import randomised as randomised
from neocog.explain.control import rank_correlation as rank_correlation
from neocog.explain.gradcam import gradcam as gradcam
from neocog.explain.gradient import finite_difference as finite_difference
from neocog.explain.gradient import gradients as gradients
from neocog.explain.gradient import route as route
from neocog.explain.lens import window as window
from neocog.explain.lesson import lesson_image as lesson_image
from neocog.explain.lesson import lesson_model as lesson_model
from neocog.explain.maximise import maximise as maximise
from neocog.explain.occlusion import occlusion as occlusion
from neocog.explain.output import terms as terms
from neocog.explain.patches import top_patches as top_patches
from neocog.explain.places import downsample as downsample
from neocog.explain.places import shift as shift
from neocog.explain.pooling import pooling as pooling
from neocog.explain.receptive import receptive_field as receptive_field
from neocog.explain.statistics import batch_statistics as batch_statistics
from neocog.explain.tied import as_fully_connected as as_fully_connected
from neocog.explain.trace import activation as activation
from neocog.explain.trace import activations as activations
from neocog.explain.trace import problems as problems
from neocog.explain.trace import trace as trace

if TYPE_CHECKING:

    def show(model: Any, image: Any = None, *, data: Any = None) -> Any:
        """Show the page in a notebook; see neocog.app.page.notebook."""


def __getattr__(name: str) -> Any:
    if name != "show":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The one name here that is a face's: it is found when it is asked for, so that numbers need no page.
    return import_module("neocog.app.page.notebook").show
