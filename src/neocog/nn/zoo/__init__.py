"""Known networks as plain functions of the number of classes, and the default choice for a size of image."""

from __future__ import annotations

from neocog.nn.zoo.airbench import airbench94 as airbench94
from neocog.nn.zoo.alexnet import alexnet as alexnet
from neocog.nn.zoo.article import article as article
from neocog.nn.zoo.convnext import convnext_atto as convnext_atto
from neocog.nn.zoo.default import default_net as default_net
from neocog.nn.zoo.densenet import densenet121 as densenet121
from neocog.nn.zoo.efficientnet import efficientnet_b0 as efficientnet_b0
from neocog.nn.zoo.efficientnet import efficientnet_lite0 as efficientnet_lite0
from neocog.nn.zoo.fast import fast32 as fast32
from neocog.nn.zoo.fast import fast224 as fast224
from neocog.nn.zoo.googlenet import googlenet as googlenet
from neocog.nn.zoo.lenet import lenet5 as lenet5
from neocog.nn.zoo.mobilenet_v1 import mobilenet_v1 as mobilenet_v1
from neocog.nn.zoo.mobilenet_v1 import mobilenet_v1_x0_5 as mobilenet_v1_x0_5
from neocog.nn.zoo.mobilenet_v1 import mobilenet_v1_x0_25 as mobilenet_v1_x0_25
from neocog.nn.zoo.mobilenet_v2 import mobilenet_v2 as mobilenet_v2
from neocog.nn.zoo.mobilenet_v3 import mobilenet_v3_large as mobilenet_v3_large
from neocog.nn.zoo.mobilenet_v3 import mobilenet_v3_small as mobilenet_v3_small
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
from neocog.nn.zoo.shufflenet_v2 import shufflenet_v2_x0_5 as shufflenet_v2_x0_5
from neocog.nn.zoo.shufflenet_v2 import shufflenet_v2_x1_0 as shufflenet_v2_x1_0
from neocog.nn.zoo.squeezenet import squeezenet1_0 as squeezenet1_0
from neocog.nn.zoo.squeezenet import squeezenet1_1 as squeezenet1_1
from neocog.nn.zoo.vgg import vgg as vgg
from neocog.nn.zoo.vgg import vgg11 as vgg11
from neocog.nn.zoo.vgg import vgg11_bn as vgg11_bn
from neocog.nn.zoo.vgg import vgg16 as vgg16
from neocog.nn.zoo.vgg import vgg16_bn as vgg16_bn
