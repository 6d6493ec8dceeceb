"""Train an ONNX file on: read it, teach it what it lacks, and write it again."""

import numpy as np

import neocog as nc
from neocog.data import open_data

splits = open_data("digits")
images, labels = splits.train.images(), splits.train.labels
test_images, test_labels = splits.test.images(), splits.test.labels

# Somebody's network, which has seen a tenth of the digits. Any ONNX file of a convolutional network will do.
net = nc.Sequential(nc.Conv2d(32, 3), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(10))
theirs = nc.Model(net, (8, 8, 1), mean=0.3, std=0.38)
theirs.fit(images[::10], labels[::10], epochs=10, optimizer=nc.AdamW(0.005), verbose=0)
nc.to_onnx(theirs, "theirs.onnx")

model = nc.from_onnx("theirs.onnx")
print(model.summary())
print(f"as it came:  {model.evaluate(test_images, test_labels).accuracy:.4f}")

model.fit(images, labels, epochs=10, optimizer=nc.AdamW(0.002), verbose=0)
print(f"trained on:  {model.evaluate(test_images, test_labels).accuracy:.4f}")

nc.to_onnx(model, "ours.onnx", images=test_images)
again = nc.from_onnx("ours.onnx")
print("the same when read again:", np.array_equal(again.predict(test_images), model.predict(test_images)))
