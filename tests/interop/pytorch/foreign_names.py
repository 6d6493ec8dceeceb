"""What timm and torchvision themselves call the tensors of their networks: a record, for machines without them.

To write it anew, with both installed (see tests/zoo_oracle.py), from the root:

    python -m tests.interop.pytorch.foreign_names
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

RECORD = Path(__file__).with_suffix(".json")
COUNTER = ".num_batches_tracked"

TIMM = (
    *("convnext_atto", "densenet121", "efficientnet_b0", "efficientnet_lite0", "mobilenetv1_100", "mobilenetv2_100"),
    *("mobilenetv3_large_100", "mobilenetv3_small_100", "repvgg_a0", "resnet18", "resnet34", "resnet50"),
    *(
        "tf_efficientnet_b0",
        "tf_efficientnet_lite0",
        "tf_mobilenetv3_small_100",
        "vgg11",
        "vgg11_bn",
        "vgg16",
        "vgg16_bn",
    ),
)


def digest_of(names: Iterable[str]) -> str:
    """Return what stands for a set of names: the start of its SHA-256."""
    kept = sorted(name for name in names if not name.endswith(COUNTER))
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


def main() -> None:
    """Write the record."""
    from tests.zoo_oracle import TORCHVISION, _torchvision

    library = _torchvision()  # which timm imports
    import timm
    import torch

    torch.set_default_device("meta")  # names need no weights
    record: dict[str, dict[str, str]] = {"timm": {}, "torchvision": {}}
    for name in TIMM:
        record["timm"][name] = digest_of(timm.create_model(name, num_classes=10).state_dict())
    for name in TORCHVISION:
        more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        net = getattr(library, name)(weights=None, num_classes=10, **more)
        record["torchvision"][name] = digest_of(net.state_dict())
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
