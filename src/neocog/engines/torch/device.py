"""Where PyTorch computes: a name becomes a device that is there, and under a launcher each process has its own GPU."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from neocog.engines.precision import Precision, Settled, settled
from neocog.errors import EngineError

LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")
"""What torchrun, srun and mpirun call the number of a process among those of its machine."""


def found_device(name: str, environment: Mapping[str, str]) -> str:
    """Return the device of a name, once it is known that PyTorch computes there.

    "cuda" is the GPU with the number that a launcher gave this process among those of its machine, or PyTorch's current
    one where it was started alone; "cuda:1" is that one in every process.

    Arguments:
        name: "cpu", "cuda", "cuda:1", or what else PyTorch knows.
        environment: where launchers tell the number.

    Raises:
        EngineError: there is no such device here.

    >>> found_device("cpu", {})
    'cpu'
    """
    if name == "cuda" and torch.cuda.is_available():
        name = _own_gpu(environment, torch.cuda.device_count())
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was built with CUDA
        raise EngineError(
            f"the torch engine cannot run on the device {name!r}: {_reason(name, error)}",
            hint='use device="cpu" (--device cpu), or install a PyTorch build for this device',
        ) from error
    return name


def settled_on(device: str, precision: Precision) -> Settled:
    """Return what is computed with on a device: "auto" is bfloat16 on GPUs that have it, and on processors as
    `neocog.engines.precision.settled` says. What bfloat16 gains besides, PyTorch knows.
    """
    if precision in ("float32", "bfloat16"):
        return precision
    if precision == "int8" or torch.device(device).type != "cuda":
        return settled(precision)
    if not torch.cuda.is_available():
        return "float32"
    with torch.cuda.device(device):  # older GPUs only emulate it, which is slower than float32
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def _own_gpu(environment: Mapping[str, str], gpus: int) -> str:
    """Return the GPU of this process.

    SLURM and MPI may show a process its own GPU alone; whatever its number, it is then the first that it sees.

    >>> _own_gpu({}, 2), _own_gpu({"LOCAL_RANK": "1"}, 2), _own_gpu({"SLURM_LOCALID": "1"}, 1)
    ('cuda', 'cuda:1', 'cuda:0')
    """
    name = next((name for name in LOCAL_RANKS if environment.get(name, "").isdigit()), None)
    if name is None:
        return "cuda"
    told = environment[name]
    if gpus == 1 and name != LOCAL_RANKS[0]:
        return "cuda:0"
    if int(told) >= gpus:
        raise EngineError(
            f"process {told} of this machine needs a GPU of its own, and {gpus} {'is' if gpus == 1 else 'are'} there",
            hint=f"start as many processes as there are GPUs: torchrun --nproc-per-node {gpus}",
        )
    return f"cuda:{told}"


def _reason(name: str, error: BaseException) -> str:
    if name.split(":")[0] == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda is not None
        return "PyTorch sees no GPU here" if built else "this build of PyTorch is for CPUs alone"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
