"""What a user holds: a network with its weights, and the files that it is kept in.

network.py      Network: a graph with weights, class names and preprocessing, which answers; answering.py: how it does
weights.py      its named arrays, with one owner
arguments.py    what it is made with, checked
pictures.py     what it is asked about: arrays, or pictures, in pieces
statedict.py    weights that come from elsewhere, under PyTorch's names
kinds.py        layers, losses, optimizers and schedules as JSON
files.py        safetensors, read strictly and written atomically; foreign.py: what a file is that is none
fields.py       the fields of a file's JSON, checked; nodes.py: a graph as JSON
modelfile.py    model.safetensors
"""
