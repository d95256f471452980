"""The SpikeInterface sorter class."""

from spikeinterface.sorters.basesorter import BaseSorter


class HuidurepSorter(BaseSorter):
    """HuiduRep as a SpikeInterface sorter (skeleton)."""

    sorter_name = "huidurep"
    requires_locations = True
    gpu_capability = "nvidia-optional"
    handle_multi_segment = True
