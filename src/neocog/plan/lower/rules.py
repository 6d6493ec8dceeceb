"""Every layer's rule."""

from __future__ import annotations

from neocog.nn import layers
from neocog.nn.layer import Layer
from neocog.nn.rewrite import ScaleShift
from neocog.plan.lower import channels, convolution, convolution_gradient, normalization, pointwise, pooling, shape
from neocog.plan.lower.rule import Rule

CORRELATION = Rule(convolution.forward, convolution_gradient.backward)
POOLING = Rule(pooling.forward, pooling.backward)
ACTIVATION = Rule(pointwise.activation_forward, pointwise.activation_backward)
DROPPING = Rule(pointwise.drop_forward, pointwise.drop_backward)

RULES: dict[type[Layer], Rule] = {
    **{layer: ACTIVATION for layer in layers.LAYERS if issubclass(layer, layers.Activation)},
    layers.Conv2d: CORRELATION,
    layers.Linear: CORRELATION,
    layers.MaxPool2d: POOLING,
    layers.AvgPool2d: POOLING,
    layers.GlobalAvgPool2d: Rule(pooling.global_forward, pooling.global_backward),
    layers.Flatten: Rule(shape.flatten_forward, shape.flatten_backward),
    layers.PReLU: Rule(pointwise.prelu_forward, pointwise.prelu_backward),
    layers.Softmax: Rule(channels.softmax_forward, channels.softmax_backward),
    layers.Maxout: Rule(channels.maxout_forward, channels.maxout_backward),
    layers.BatchNorm2d: Rule(normalization.forward, normalization.backward),
    ScaleShift: Rule(pointwise.scale_forward, pointwise.no_backward),
    layers.Dropout: DROPPING,
    layers.Dropout2d: DROPPING,
    layers.DropPath: DROPPING,
    layers.Add: Rule(pointwise.add_forward, pointwise.add_backward),
    layers.Multiply: Rule(pointwise.multiply_forward, pointwise.multiply_backward),
    layers.Concatenate: Rule(shape.concatenate_forward, shape.concatenate_backward),
}
"""What each layer becomes; value-by-value activations need no entry of their own."""
