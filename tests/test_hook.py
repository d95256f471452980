"""The start-up hook, each time in a new interpreter that never imports huidurep_sorter by itself."""

import importlib.util
import os
import re
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(importlib.util.find_spec("huidurep_sorter").origin).parents[1]  # of a checkout, or of what is installed
HOOK = ROOT / "huidurep_sorter_hook.py"
PTH_NAME = "huidurep_sorter.pth"


def run_python(*args, **environment):
    env = {k: v for k, v in os.environ.items() if k != "HUIDUREP_SORTER_NO_HOOK"} | environment
    env["PYTHONPATH"] = str(ROOT)  # an editable install has a copy of the hook, which may be older
    return subprocess.run([sys.executable, *args], env=env, capture_output=True, text=True, timeout=300)


def pth_line():
    return distribution("huidurep-sorter").locate_file(PTH_NAME).read_text()


def test_pth_and_hook_belong_to_the_distribution():
    """So that uninstalling removes them."""
    files = {str(file) for file in distribution("huidurep-sorter").files}
    assert {PTH_NAME, "huidurep_sorter_hook.py"} <= files


def test_new_interpreter_knows_the_sorter_once_and_loads_no_torch():
    code = (
        "import sys; import spikeinterface.sorters as ss;"
        "from spikeinterface.sorters import sorterlist as sl;"
        "assert 'huidurep' in ss.available_sorters();"
        "assert [s.sorter_name for s in sl.sorter_full_list].count('huidurep') == 1;"
        "assert 'torch' not in sys.modules;"
        "import huidurep_sorter; assert 'torch' not in sys.modules;"
        "assert [s.sorter_name for s in sl.sorter_full_list].count('huidurep') == 1;"
        "assert type(sl.__spec__.loader).__name__ == type(ss.__spec__.loader).__name__ == 'SourceFileLoader';"
        "assert sl.__loader__ is sl.__spec__.loader"
    )
    done = run_python("-W", "error::ImportWarning", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""


@pytest.mark.parametrize(
    "code",
    [
        "import huidurep_sorter",
        "import huidurep_sorter.sorter",
        "from huidurep_sorter.sorter import HuidurepSorter",
        "import huidurep_sorter.registration",
        "import spikeinterface.sorters.sorterlist; import importlib;"
        "importlib.reload(spikeinterface.sorters.sorterlist)",
        "from importlib.metadata import entry_points;entry_points(group='spikeinterface.sorters')['huidurep'].load()",
        "import spikeinterface.full",
    ],
)
@pytest.mark.parametrize("no_hook", ["0", "1"])
def test_registered_once_however_imported(code, no_hook):
    ours = "import huidurep_sorter; huidurep_sorter.register();" if no_hook == "1" else ""
    check = (
        ";from spikeinterface.sorters import sorterlist as sl;"
        + ours
        + "assert [s.sorter_name for s in sl.sorter_full_list].count('huidurep') == 1;"
        "from huidurep_sorter import HuidurepSorter; assert sl.sorter_dict['huidurep'] is HuidurepSorter"
    )
    done = run_python("-c", code + check, HUIDUREP_SORTER_NO_HOOK=no_hook)
    assert done.returncode == 0, done.stderr


def test_switched_off_by_environment():
    code = (
        "import sys, spikeinterface.sorters as ss;"
        "print('huidurep' in ss.available_sorters(), 'huidurep_sorter' in sys.modules)"
    )
    assert run_python("-c", code, HUIDUREP_SORTER_NO_HOOK="1").stdout.split() == ["False", "False"]
    assert run_python("-c", code, HUIDUREP_SORTER_NO_HOOK="0").stdout.split() == ["True", "True"]


def test_start_up_imports_nothing_else():
    loaded = set(run_python("-c", "import sys; print(*sys.modules)").stdout.split())
    assert "huidurep_sorter_hook" in loaded
    assert not {name.split(".")[0] for name in loaded} & {
        "torch",
        "spikeinterface",
        "numpy",
        "huidurep_sorter",
    }
    at_top_level = re.findall(r"^(?:import|from) (\w+)", HOOK.read_text(), flags=re.M)
    assert sorted(at_top_level) == ["_thread", "os", "sys"]


def test_start_up_costs_less_than_5_ms():
    times = []
    for _ in range(5):
        report = run_python("-X", "importtime", "-c", "pass").stderr
        (line,) = [line for line in report.splitlines() if "huidurep_sorter_hook" in line]
        times.append(int(line.split("|")[1]) / 1000)
    assert min(times) < 5


def test_finder_costs_nothing_for_other_modules():
    from huidurep_sorter_hook import _SorterListFinder

    start = time.perf_counter()
    for _ in range(10_000):
        assert _SorterListFinder.find_spec("some.module") is None
    assert time.perf_counter() - start < 0.5


def test_pth_line_is_silent_without_the_module():
    """A half-removed installation must not print at every start of Python."""
    code = "import sys; sys.modules['huidurep_sorter_hook'] = None\n" + pth_line()
    done = run_python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert pth_line().startswith("import ") and pth_line().strip().count("\n") == 0


def test_broken_package_leaves_spikeinterface_whole():
    code = (
        "import sys; sys.modules['huidurep_sorter'] = None; import spikeinterface.sorters as ss;"
        "assert 'huidurep' not in ss.available_sorters() and 'lupin' in ss.available_sorters()"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "the huidurep sorter is not available" in done.stderr


OTHERS = """
import importlib.util, sys

class Asks:
    "Asks every other finder, as coverage tools, import loggers and bundlers do."
    def find_spec(self, name, path=None, target=None):
        if name.startswith("spikeinterface.sorters"):
            for finder in sys.meta_path:
                if finder is not self:
                    spec = finder.find_spec(name, path, target)
                    if spec is not None:
                        return self.change(spec)
    def change(self, spec):
        return spec

class Wraps(Asks):
    def change(self, spec):
        spec.loader = Loader(spec.loader)
        return spec

class Loader:
    def __init__(self, loader):
        self.loader = loader
    def create_module(self, spec):
        return self.loader.create_module(spec)
    def exec_module(self, module):
        self.loader.exec_module(module)
        assert module.__spec__.loader is self, "another's loader was replaced"

class Lazy(Asks):
    def change(self, spec):
        spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec
"""


@pytest.mark.parametrize("place", ["0", "len(sys.meta_path)", "1"])
@pytest.mark.parametrize("finder", ["Asks", "Wraps", "Lazy"])
def test_another_finder_that_asks_all_finders_does_no_harm(finder, place):
    code = OTHERS + (
        f"sys.meta_path.insert({place}, {finder}())\n"
        "import spikeinterface.sorters as ss\n"
        "from spikeinterface.sorters import sorterlist as sl\n"
        "assert [s.sorter_name for s in sl.sorter_full_list].count('huidurep') == 1\n"
        "assert 'huidurep' in ss.available_sorters()"
    )
    done = run_python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("error", ["SystemExit(3)", "BaseException('odd')", "RuntimeError('odd')"])
def test_whatever_the_import_of_the_sorter_raises_leaves_spikeinterface_whole(error):
    code = (
        "import sys\n"
        "class Raises:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'huidurep_sorter.sorter': raise {error}\n"
        "sys.meta_path.insert(0, Raises())\n"
        "import spikeinterface.sorters as ss; print('lupin' in ss.available_sorters())"
    )
    done = run_python("-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, "True")
    assert done.stderr.count("\n") == 1 and "the huidurep sorter is not available" in done.stderr


def test_without_spikeinterface_the_usual_error():
    code = "import sys; sys.modules['spikeinterface'] = None\nimport spikeinterface.sorters"
    done = run_python("-c", code)
    assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr and "hook" not in done.stderr
