"""HuiduRep spike sorter: learned spike representations, as a SpikeInterface sorter.

Importing this package registers the sorter, so that ``run_sorter("huidurep", recording)`` works. torch is
imported only when something that needs it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from huidurep_sorter.__about__ import __version__
from huidurep_sorter.registration import register

__all__ = [
    "Encoder",
    "HuidurepSorter",
    "__version__",
    "compute_embedding_metrics",
    "embed_spikes",
    "load_encoder",
    "make_analyzer",
    "register",
    "track_units",
]

if TYPE_CHECKING:  # a type checker sees the lazy names and their types, and no others
    from huidurep_sorter.analyzer import compute_embedding_metrics, make_analyzer
    from huidurep_sorter.encoder.checkpoints import load_encoder
    from huidurep_sorter.encoder.embedding import embed_spikes
    from huidurep_sorter.encoder.network import Encoder
    from huidurep_sorter.sorter import HuidurepSorter
    from huidurep_sorter.tracking.tracking import track_units
else:
    _LAZY = {
        "Encoder": "encoder.network",
        "HuidurepSorter": "sorter",
        "compute_embedding_metrics": "analyzer",
        "embed_spikes": "encoder.embedding",
        "load_encoder": "encoder.checkpoints",
        "make_analyzer": "analyzer",
        "track_units": "tracking.tracking",
    }

    def __getattr__(name):
        if name in _LAZY:
            return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted(set(globals()) | set(_LAZY))


register()
