"""Training, made visible: models, the loop, what it tells, and the files that it leaves.

source.py       batches, epoch after epoch
model.py        a network with its parameters and preprocessing
trainer.py      optimizer steps
fit.py          the loop; events.py and callbacks.py: what it tells; history.py: what it gave
progress.py     the loop on a terminal
evaluation.py   how good a model is
kinds.py        layers, losses, optimizers and schedules as JSON
files.py        safetensors, read strictly and written atomically
modelfile.py    model.safetensors; checkpoint.py: last.safetensors; runfolder.py: the folder around them
snapshots.py    filters.safetensors
"""
