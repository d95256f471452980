"""Whether a file's configuration and tensors make an encoder: told from names and shapes, before a network is built."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from huidurep_sorter.encoder.network import EncoderConfig, HuiduRep


@dataclass(frozen=True, kw_only=True)
class EncoderLimits:
    """What no encoder of ours comes near: a file that asks for more is damaged, or made to harm."""

    max_file_bytes: int = 2_000_000_000  # bytes of a file, a limit: the shipped ones have less than 10 MB
    max_layers: int = 200  # layers of a transformer, a limit: the paper's encoder has 16
    max_samples: int = 10_000  # samples of a snippet, a limit: the shipped encoders take 121
    max_sampling_frequency: float = 1e6  # Hz, a limit: probes sample at 20 to 50 kHz


LIMITS = EncoderLimits()
FLOAT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_config(values: Any) -> EncoderConfig:
    """Make a configuration of a file's values; each must be of the type of its field, and possible.

    Raises
    ------
    ValueError
        Naming the value.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"the configuration is a {type(values).__name__}, not names and values")
    defaults = {field.name: field.default for field in fields(EncoderConfig)}
    unknown = sorted(str(name) for name in values if name not in defaults)
    if unknown:
        raise ValueError(f"the configuration has values that this version doesn't know: {', '.join(unknown)[:200]}")
    for name, value in values.items():
        _check_type(name, value, defaults[name])
    config = EncoderConfig(**values)
    if config.n_layers < 1 or max(config.n_layers, config.n_decoder_layers) > LIMITS.max_layers:
        raise ValueError(
            f"n_layers is {config.n_layers} and n_decoder_layers {config.n_decoder_layers}; at most {LIMITS.max_layers}"
        )
    if not 0 <= config.n_before < config.n_samples <= LIMITS.max_samples:
        raise ValueError(f"n_before is {config.n_before} of n_samples {config.n_samples}, at most {LIMITS.max_samples}")
    if not 0 < config.sampling_frequency <= LIMITS.max_sampling_frequency:
        raise ValueError(f"sampling_frequency is {config.sampling_frequency} Hz")
    if any(kernel % 2 == 0 for kernel in config.kernels):
        raise ValueError(f"kernels are {list(config.kernels)}: they must be odd")
    if math.prod(config.strides) > config.n_samples:
        raise ValueError(f"strides are {list(config.strides)}: no token is left of {config.n_samples} samples")
    return config


def _check_type(name, value, default):
    """Refuse a value that isn't of the type of its default, or a number that isn't above 0 (some may be 0)."""
    if isinstance(default, tuple):
        good = isinstance(value, list | tuple) and len(value) == len(default) and all(_is_count(v, 1) for v in value)
        wanted = f"{len(default)} whole numbers above 0"
    elif isinstance(default, bool):
        good, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        lowest = 0 if name in ("n_before", "n_decoder_layers") else 1
        good, wanted = _is_count(value, lowest), f"a whole number of at least {lowest}"
    else:
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        wanted = "a number above 0"
    if not good:
        raise ValueError(f"{name} must be {wanted}, not {repr(value)[:60]}")


def _is_count(value, lowest):
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def check_shapes(config: EncoderConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse tensors of other names or shapes than those of the configuration.

    First come the numbers which say how much there is to build. Then the network is built without memory.

    Parameters
    ----------
    config : EncoderConfig
    shapes : dict
        Name of each tensor -> its shape.

    Raises
    ------
    ValueError
        Naming a tensor.
    """
    for stack, n_layers in (("transformer", config.n_layers), ("decoder", config.n_decoder_layers)):
        found = {name.split(".")[2] for name in shapes if name.startswith(f"{stack}.layers.")}
        if len(found) != n_layers:
            raise ValueError(f"the configuration says {n_layers} layers of the {stack}, the tensors have {len(found)}")
    _compare("conv1.weight", shapes.get("conv1.weight"), (config.d_model, config.n_channels, config.kernels[0]))
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in HuiduRep(config).state_dict().items()}
    for name, shape in wanted.items():
        _compare(name, shapes.get(name), shape)
    unknown = sorted(set(shapes) - set(wanted))
    if unknown:
        raise ValueError(f"it has tensors that no such encoder has: {', '.join(unknown)[:200]}")


def _compare(name, found, wanted):
    """Refuse a tensor that is absent or of another shape."""
    if found is None:
        raise ValueError(f"it lacks the tensor {name}")
    if tuple(found) != wanted:
        raise ValueError(f"{name} has the shape {tuple(found)}, the configuration says {wanted}")


def check_values(state: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that don't hold floats, or not all finite ones as float32.

    Raises
    ------
    ValueError
        Naming a tensor.
    """
    for name, tensor in state.items():
        if tensor.dtype not in FLOAT_TYPES or tensor.layout != torch.strided:
            raise ValueError(f"{name} holds {tensor.dtype} ({tensor.layout}), not plain floats")
        if not torch.isfinite(tensor.float()).all():
            raise ValueError(f"{name} holds values that are NaN or infinite")


def check_file_size(n_bytes: int) -> None:
    """Refuse a file, or tensors, that are larger than any encoder.

    Raises
    ------
    ValueError
        Saying the size.
    """
    if n_bytes > LIMITS.max_file_bytes:
        raise ValueError(f"{n_bytes / 1e9:.1f} GB are too many for an encoder: at most {LIMITS.max_file_bytes / 1e9:g}")
