"""Make SpikeInterface know the sorter by its name, and our extension of its analyzers."""

from types import ModuleType


def register(sorterlist: ModuleType | None = None) -> None:
    """Add the sorter to SpikeInterface's list of sorters, unless it is there, and the extension to those of analyzers.

    Parameters
    ----------
    sorterlist : module or None, default: None
        The module ``spikeinterface.sorters.sorterlist``, wholly executed; None imports it. When it is in
        the middle of its own import, nothing is done: whoever imports it (our hook, or SpikeInterface itself
        reading entry points) adds the sorter at the end.
    """
    if sorterlist is None:
        from spikeinterface.sorters import sorterlist

        if getattr(sorterlist.__spec__, "_initializing", False):
            return

    from .analyzer import register as register_extension
    from .sorter import HuidurepSorter

    register_extension()
    name = HuidurepSorter.sorter_name
    if not any(sorter.sorter_name == name for sorter in sorterlist.sorter_full_list):
        sorterlist.sorter_full_list.append(HuidurepSorter)
    sorterlist.sorter_dict.setdefault(name, HuidurepSorter)
