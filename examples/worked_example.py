"""The 6 × 6 image and two 3 × 3 filters of the textbook: convolve, look at both maps, pool them."""

import numpy as np

import neocog as nc

image = np.array(
    [
        [1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 1, 0],
    ],
    np.float32,
)
diagonal = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
vertical = [[-1, 1, -1], [-1, 1, -1], [-1, 1, -1]]
filters = np.array([[diagonal], [vertical]], np.float32)  # (filter, channel, row, column), as PyTorch holds them

convolution = nc.Model(nc.Sequential(nc.Conv2d(2, 3, bias=False), nc.Flatten()), (6, 6, 1))
convolution.load_state_dict({"0.weight": filters})
maps = convolution(image[None, :, :, None]).reshape(4, 4, 2)
print("map 1:", *maps[:, :, 0], "map 2:", *maps[:, :, 1], sep="\n")

pooled = nc.Model(nc.Sequential(nc.Conv2d(2, 3, bias=False), nc.MaxPool2d(2), nc.Flatten()), (6, 6, 1))
pooled.load_state_dict({"0.weight": filters})
print("2 x 2 max pooling of map 1:", *pooled(image[None, :, :, None]).reshape(2, 2, 2)[:, :, 0], sep="\n")
print(convolution.summary())
