"""Training, made visible: the loop, what it tells, and the files that it leaves.

settings.py     every setting of a training, once; forms.py: what values may be
source.py       batches, epoch after epoch; arrays.py: those of arrays; held_out.py: images that are kept out of them
trainer.py      optimizer steps
metrics.py      what an answer is worth; evaluation.py: how good a network is
fit.py          the loop; clock.py: its time; events.py and callbacks.py: what it tells; history.py: what it gave
progress.py     the loop on a terminal
checkpoint.py   last.safetensors; runfolder.py: the folder around it and model.safetensors
snapshots.py    filters.safetensors
pictures.py     what is found out about the pictures; recipe.py: what is decided where nobody says
named.py        optimizers and schedules by name
fine_tune.py    trainings that begin with another network: tuning.py: their phases; features.py and head.py: the first
model.py        Model: a network that can be trained, measured and saved; it stands on all of these
"""
