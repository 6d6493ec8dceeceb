"""Whole trainings: how accurate a recipe is for its time, neocog's and those of other libraries' users on PyTorch.

    airbench     the recipe airbench94 in PyTorch, on the split that `neocog train --recipe airbench94` is measured on
    peers        default recipes as fastai, Keras and timm have them, and a ResNet-9 as experienced people train it
    compare      each for the same CPU time, and neocog's default recipe: `python -m benchmarks.recipes.compare`

All are written here, after what those libraries document; none of them is needed.
"""
