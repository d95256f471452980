"""Start-up hook: let SpikeInterface know the "huidurep" sorter without any import of ours.

SpikeInterface has no entry point for sorters: a process that did not import the plugin (a new interpreter, a
joblib, dask or slurm worker) cannot run it by name. ``huidurep_sorter.pth``, installed beside this file, imports
this module when an interpreter starts. All that it does then is to put one small object on ``sys.meta_path``,
which waits for the import of ``spikeinterface.sorters.sorterlist`` and registers the sorter right after it.

Nothing but ``os`` and ``sys`` (both loaded already) is imported at start-up, nothing is ever raised, and the
environment variable ``HUIDUREP_SORTER_NO_HOOK=1`` switches the hook off.
"""

import os
import sys

TARGET = "spikeinterface.sorters.sorterlist"


class _RegisteringLoader:
    """Runs the real loader of the sorter list, then adds our sorter to the list."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader  # leave no trace of us
        self._loader.exec_module(module)
        try:
            from huidurep_sorter.registration import register

            register(module)
        except Exception as error:
            import logging

            logging.getLogger("huidurep_sorter").warning("the huidurep sorter is not available: %r", error)


class _SorterListFinder:
    """A meta path finder that cares for one module only, and asks the other finders where it is."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if fullname != TARGET:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if find_spec is None or isinstance(finder, _SorterListFinder):
                continue
            spec = find_spec(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _RegisteringLoader(spec.loader)
                return spec
        return None


def install():
    """Put the finder first on ``sys.meta_path``, once, unless the environment says no."""
    if os.environ.get("HUIDUREP_SORTER_NO_HOOK", "0") not in ("", "0"):
        return
    if not any(type(finder).__name__ == "_SorterListFinder" for finder in sys.meta_path):
        sys.meta_path.insert(0, _SorterListFinder())


install()
