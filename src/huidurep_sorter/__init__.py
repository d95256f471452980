"""HuiduRep spike sorter: learned spike representations, as a SpikeInterface sorter.

Importing this package registers the sorter, so that ``run_sorter("huidurep", recording)`` works. torch is
imported only when something that needs it is used.
"""

from .registration import register

__version__ = "0.1.0"

_LAZY = {
    "Encoder": "encoder.network",
    "HuidurepSorter": "sorter",
    "embed_spikes": "encoder.embedding",
    "load_encoder": "encoder.checkpoints",
}
__all__ = ["Encoder", "HuidurepSorter", "__version__", "embed_spikes", "load_encoder", "register"]


def __getattr__(name):
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(set(globals()) | set(_LAZY))


register()
