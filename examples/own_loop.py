"""Take the optimizer steps yourself, and look at the gradients on the way."""

import numpy as np

import neocog as nc

random = np.random.default_rng(0)
images = random.random((256, 12, 12, 1), np.float32)
labels = np.arange(256) % 2
images[labels == 0, 2:10, 5] += 1.0  # a vertical bar
images[labels == 1, 5, 2:10] += 1.0  # a horizontal one

model = nc.Model(nc.zoo.article(2), input_shape=(12, 12, 1), class_names=["vertical", "horizontal"], seed=1)
trainer = nc.Trainer(model, optimizer=nc.SGD(learning_rate=0.05, momentum=0.9), batch_size=64)
for step in range(40):
    chosen = random.choice(len(images), 64, replace=False)
    loss = trainer.step(images[chosen], labels[chosen])
    if step % 10 == 9:
        largest = {name: float(abs(value).max()) for name, value in trainer.gradients().items()}
        print(f"step {step + 1}: loss {loss:.4f}, largest gradient {max(largest, key=largest.get)}")
print(f"accuracy on the images it saw: {model.evaluate(images, labels).accuracy:.2f}")
