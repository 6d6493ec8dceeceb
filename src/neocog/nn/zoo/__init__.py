"""Known networks as plain functions of the number of classes, and the default choice for a size of image."""

from __future__ import annotations

from neocog.nn.zoo.article import article as article
from neocog.nn.zoo.default import default_net as default_net
from neocog.nn.zoo.densenet import densenet121 as densenet121
from neocog.nn.zoo.fast import fast32 as fast32
from neocog.nn.zoo.fast import fast224 as fast224
from neocog.nn.zoo.lenet import lenet5 as lenet5
from neocog.nn.zoo.names import MODELS as MODELS
from neocog.nn.zoo.names import Known as Known
from neocog.nn.zoo.names import make_net as make_net
from neocog.nn.zoo.photo import photo as photo
from neocog.nn.zoo.repvgg import repvgg_a0 as repvgg_a0
from neocog.nn.zoo.resnet import resnet18 as resnet18
from neocog.nn.zoo.resnet import resnet20 as resnet20
from neocog.nn.zoo.resnet import resnet34 as resnet34
from neocog.nn.zoo.resnet import resnet50 as resnet50
from neocog.nn.zoo.resnet import resnet56 as resnet56
from neocog.nn.zoo.vgg import vgg as vgg
