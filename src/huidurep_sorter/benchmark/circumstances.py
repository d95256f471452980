"""Tell under which circumstances a result was made: versions, weights and machine."""

import os
import platform
from pathlib import Path

import numpy
import spikeinterface
import torch

from huidurep_sorter.__about__ import __version__
from huidurep_sorter.encoder.checkpoints import DEFAULT_WEIGHTS, WEIGHTS_FOLDER, sha256


def versions_and_machine() -> dict:
    """Return the versions of what was used, and the machine, as text by name."""
    return dict(
        huidurep_sorter=__version__,
        spikeinterface=spikeinterface.__version__,
        python=platform.python_version(),
        numpy=numpy.__version__,
        torch=torch.__version__,
        system=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        n_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    )


def processor_name():
    """Return the name of the processor. Only Linux tells the model; elsewhere it is the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def default_weights_sha256():
    """Return the SHA-256 of the file of the default weights, in hexadecimal."""
    return sha256(WEIGHTS_FOLDER / f"{DEFAULT_WEIGHTS}.safetensors")
