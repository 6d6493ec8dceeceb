"""Declare a residual network, train it on the digits that come with neocog, and predict from a running average."""

import neocog as nc
from neocog.data import open_data


def convolution(channels: int, stride: int = 1) -> nc.Sequential:
    """Return a convolution whose bias is the normalization's."""
    return nc.Sequential(nc.Conv2d(channels, 3, stride=stride, padding=1, bias=False), nc.BatchNorm2d())


# Blocks: a Residual adds what its body gives to what its shortcut gives, or to its input where there is none.
stem = nc.Sequential(convolution(16), nc.ReLU())
same = nc.Residual(nc.Sequential(convolution(16), nc.ReLU(), convolution(16)))
smaller = nc.Residual(nc.Sequential(convolution(32, 2), nc.SiLU(), convolution(32)), shortcut=convolution(32, 2))

# The functional form: any graph without cycles. Here the last layer sees two resolutions side by side.
image = nc.Input((8, 8, 1))
fine = nc.ReLU()(same(stem(image, name="stem"), name="same"))
coarse = nc.ReLU()(smaller(fine, name="smaller"))
both = nc.Concatenate()(nc.GlobalAvgPool2d()(fine), nc.GlobalAvgPool2d()(coarse))
net = nc.Graph(image, nc.Linear(10)(both, name="classes"))

splits = open_data("digits")
model = nc.Model(net, input_shape=(8, 8, 1), class_names=splits.class_names, seed=0)
print(model.summary())

x, y = splits.train.images(), splits.train.labels
model.fit(x, y, epochs=15, optimizer=nc.AdamW(0.005, weight_decay=0.05), ema=0.98, verbose=0)
print(f"test accuracy: {model.evaluate(splits.test.images(), splits.test.labels).accuracy:.4f}")

# The last layer alone goes on learning, its bias twice as fast. No gradient is computed for what is frozen, but
# normalizations go on averaging what they see.
before = model.state_dict()
slow = nc.SGD(0.001, momentum=0.9)
model.fit(x, y, epochs=2, optimizer=slow, freeze=("stem", "same", "smaller"), groups=[nc.Group("*.bias", 2)], verbose=0)
after = model.state_dict()
print("changed:", *sorted(name for name in after if (before[name] != after[name]).any()))
