"""Write a trained network as an ONNX file, and run that without neocog: pictures in, probabilities out."""

import json

import numpy as np
import onnxruntime

import neocog as nc
from neocog.data import open_data

splits = open_data("digits")
net = nc.Sequential(nc.Conv2d(32, 3), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(10))
model = nc.Model(net, (8, 8, 1), splits.class_names, mean=0.3, std=0.38)
x, y = splits.train.images(), splits.train.labels
model.fit(x[200:], y[200:], epochs=10, optimizer=nc.AdamW(0.005), verbose=0)
model.calibrate(x[:200], y[:200])

# ONNX Runtime answers 100 images or more with the file before it is left there. Normalising, the temperature and the
# softmax are part of it.
replay = nc.to_onnx(model, "digits.onnx", images=splits.test.images(), strict=True)
print(f"{replay.images} images replayed, logits differ by {replay.difference:.1e} of {replay.size:.1f}")

# From here on neocog is not needed any more: pictures are (N, height, width, channels), uint8, as they are read.
session = onnxruntime.InferenceSession("digits.onnx")
about = session.get_modelmeta().custom_metadata_map
names = json.loads(about["class_names"])
print(about["preprocessing"])

pictures, labels = splits.test.images(), splits.test.labels
probabilities, logits = session.run(["probabilities", "logits"], {"images": pictures})
print(f"accuracy by ONNX Runtime: {(probabilities.argmax(axis=1) == labels).mean():.4f}")
print(f"accuracy by neocog:       {model.evaluate(pictures, labels).accuracy:.4f}")
print(f"the first is a {names[probabilities[0].argmax()]}, with {probabilities[0].max():.1%}")
print("largest difference of a probability:", np.abs(probabilities - model.predict_proba(pictures)).max())
