"""Start-up hook: let SpikeInterface know the "huidurep" sorter without any import of ours.

SpikeInterface has no entry point for sorters: a process that did not import the plugin (a new interpreter, a
joblib, dask or slurm worker) cannot run it by name. ``huidurep_sorter.pth``, installed beside this file, imports
this module when an interpreter starts. All that it does then is to put one small object on ``sys.meta_path``,
which waits for the import of ``spikeinterface.sorters.sorterlist`` and registers the sorter right after it.

Nothing but ``_thread``, ``os`` and ``sys`` (all loaded already) is imported at start-up, nothing is ever raised, and
the environment variable ``HUIDUREP_SORTER_NO_HOOK=1`` switches the hook off.
"""

import _thread
import os
import sys

TARGET = "spikeinterface.sorters.sorterlist"


class _RegisteringLoader:
    """Runs the real loader of the sorter list, then adds our sorter to the list."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        if name == "_loader":  # of a copy that isn't made yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        create_module = getattr(self._loader, "create_module", None)
        return None if create_module is None else create_module(spec)

    def exec_module(self, module):
        spec = getattr(module, "__spec__", None)
        for holder, name in ((module, "__loader__"), (spec, "loader")):
            if getattr(holder, name, None) is self:  # it isn't where another loader has wrapped this one
                setattr(holder, name, self._loader)  # leave no trace of us
        self._loader.exec_module(module)
        try:
            from huidurep_sorter.registration import register

            register(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too, with which some modules end when they are imported
            import logging

            logging.getLogger("huidurep_sorter").warning("the huidurep sorter is not available: %r", error)


class _SorterListFinder:
    """A meta path finder that cares for one module only, and asks the other finders where it is."""

    asking = set()  # ids of threads in which it asks: a finder that asks all others in turn must not come back here

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname != TARGET or _thread.get_ident() in cls.asking:
            return None
        cls.asking.add(_thread.get_ident())
        try:
            spec = cls.ask_others(fullname, path, target)
        finally:
            cls.asking.discard(_thread.get_ident())
        if hasattr(getattr(spec, "loader", None), "exec_module"):
            spec.loader = _RegisteringLoader(spec.loader)
        return spec

    @classmethod
    def ask_others(cls, fullname, path, target):
        finders = list(sys.meta_path)
        places = [i for i, finder in enumerate(finders) if isinstance(finder, cls)]
        for finder in finders[places[0] + 1 :] if places else finders:  # those before it were asked, or ask it
            find_spec = getattr(finder, "find_spec", None)
            spec = None if find_spec is None else find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


def install():
    """Put the finder first on ``sys.meta_path``, once, unless the environment says no."""
    if os.environ.get("HUIDUREP_SORTER_NO_HOOK", "0") not in ("", "0"):
        return
    if not any(type(finder).__name__ == "_SorterListFinder" for finder in sys.meta_path):
        sys.meta_path.insert(0, _SorterListFinder())


install()
