"""Declare a network, train it on the digits that come with neocog, measure, save and load it."""

import tempfile
from pathlib import Path

import neocog as nc
from neocog.data import open_data

splits = open_data("digits")
train, test = splits.train, splits.test

net = nc.Sequential(
    nc.Conv2d(16, 3, padding=1), nc.ReLU(), nc.MaxPool2d(2),
    nc.Conv2d(32, 3, padding=1), nc.ReLU(), nc.MaxPool2d(2),
    nc.Flatten(), nc.Linear(64), nc.ReLU(), nc.Linear(10),
)  # fmt: skip
model = nc.Model(net, input_shape=(8, 8, 1), class_names=splits.class_names, seed=0)
print(model.summary())

history = model.fit(train.images(), train.labels, epochs=30, batch_size=64, validation_split=0.1)
print("accuracy on images it was not trained on:", history.history["val_accuracy"][-1])

held_out = test.images()
print(f"test accuracy: {model.evaluate(held_out, test.labels).accuracy:.4f}")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.safetensors"
    model.save(path)
    again = nc.load(path)
assert (again.predict_proba(held_out) == model.predict_proba(held_out)).all()
print("features for other tools:", model.features(held_out).shape)
