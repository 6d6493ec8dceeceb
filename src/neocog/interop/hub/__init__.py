"""Models that lie on a hub: repositories of files with revisions, as huggingface.co has them.

repository.py  one of them by its name, as users write it
client.py      huggingface_hub, which fetches, keeps in its cache, goes on with what broke off, and sends
refusals.py    what the hub, the network or the disk say no with, in this house's words
timm.py        config.json as timm writes it: which network, and how pictures come to it
load.py        a model from a repository: one of timm's, or one that neocog pushed
card.py        README.md of a repository: what a model is, how good, on what terms
push.py        a model to a repository

Nothing of huggingface_hub is copied, and nothing of it loaded before a hub is asked for.
"""
