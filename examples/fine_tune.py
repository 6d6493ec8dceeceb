"""Fine-tuning: a network that knows the digits 0 to 4 learns 5 to 9 from ten images of each.

With photographs, begin with a network that learnt from many others: docs/transfer.md.
"""

import numpy as np

import neocog as nc
from neocog.data import open_data

splits = open_data("digits")
x, y = splits.train.images(), splits.train.labels

net = nc.Sequential(
    nc.Conv2d(16, 3, padding=1), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2),
    nc.Conv2d(32, 3, padding=1), nc.BatchNorm2d(), nc.ReLU(), nc.Flatten(), nc.Linear(5),
)  # fmt: skip
known = nc.Model(net, (8, 8, 1), list("01234"), seed=0)
known.fit(x[y < 5], y[y < 5], epochs=10, verbose=0)

few = np.concatenate([np.flatnonzero(y == digit)[:10] for digit in range(5, 10)])
tests = splits.test.labels >= 5
test = splits.test.images()[tests], splits.test.labels[tests] - 5


def tell(name: str, model: nc.Model) -> None:
    print(f"{name}: {100 * model.evaluate(*test).accuracy:.1f} % of {len(test[0])} test images")


head, _ = known.fine_tune(x[few], y[few] - 5, list("56789"), head_only=True, verbose=0)
tell("a new head alone", head)
tuned, history = known.fine_tune(x[few], y[few] - 5, list("56789"), freeze="0", verbose=0)
tell("then all layers but the first", tuned)
print("phases:", ", ".join(dict.fromkeys(epoch.phase for epoch in history)))
print("features of a layer:", tuned.features(test[0], "6", pooled=True).shape)
