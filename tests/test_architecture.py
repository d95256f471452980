"""The structure of the package: what may import what, how long things are, and that thresholds say why."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import huidurep_sorter

SRC = Path(huidurep_sorter.__file__).parent
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"  # in the repository, not in an installed package
ORDER = (  # low to high: nothing imports what stands after it
    "__about__",
    "runtime",
    "progress",
    "processes",
    "traces",
    "encoder",
    "spikes",
    "templates",
    "units",
    "parameter_fields",
    "parameters",
    "report",
    "pipeline",
    "sorter",
    "analyzer",
    "tracking",
    "registration",
    "training",
    "benchmark",
    "cli",
)
DOORS = (
    "__init__.py",
    "__main__.py",
    "sorter.py",
    "analyzer.py",
    "registration.py",
    "parameters.py",
    "parameter_fields.py",
    "cli/",
)  # light to import
MAX_FUNCTION_LINES = 50
MAX_FILE_LINES = 450
MAX_INNER_IMPORTS = 60


def modules():
    """Name of each module below the package -> its syntax tree."""
    trees = {}
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(encoding="utf8"))
    return trees


def imported(tree, known):
    """Names of the package's modules that a module imports, also within functions; not those for type checkers."""
    for_types = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.unparse(test.test)
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in found:
            short = (name or "").removeprefix("huidurep_sorter").removeprefix(".")
            if (name or "").startswith("huidurep_sorter") and short in known:
                yield short


@pytest.fixture(scope="module")
def graph():
    trees = modules()
    return {name: set(imported(tree, trees)) - {name, ""} for name, tree in trees.items()}


def test_no_package_imports_one_above_it(graph):
    place = {room: i for i, room in enumerate(ORDER)}
    for module, targets in graph.items():
        room = module.partition(".")[0]
        if room in ("", "__main__"):  # the roof
            continue
        up = [target for target in targets if place[target.partition(".")[0]] > place[room]]
        assert not up, f"{module} imports {up}, which stand above it"


def test_the_imports_have_no_cycle(graph):
    left = {module: set(targets) for module, targets in graph.items()}
    while True:
        free = [module for module, targets in left.items() if not targets & left.keys()]
        if not free:
            break
        for module in free:
            del left[module]
    assert not left, f"a cycle among {sorted(left)}"


def test_no_module_imports_the_roof_beside_the_doors():
    for path in SRC.rglob("*.py"):
        name = path.relative_to(SRC).as_posix()
        if not name.startswith(DOORS):
            roof = re.findall(
                r"^\s*from huidurep_sorter import|^\s*import huidurep_sorter$", path.read_text("utf8"), re.M
            )
            assert not roof, name


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_functions_and_files_are_short():
    beside = {path.name: ast.parse(path.read_text("utf8")) for path in BENCHMARKS.glob("*.py")}
    assert beside
    for name, tree in (modules() | beside).items():
        for function in functions(tree):
            first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
            length = function.end_lineno - first.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{name}.{function.name} has {length} lines"
    for path in [*SRC.rglob("*.py"), *BENCHMARKS.glob("*.py")]:
        n_lines = len(path.read_text("utf8").splitlines())
        assert n_lines <= MAX_FILE_LINES, f"{path.name} has {n_lines} lines"


def test_imports_stand_at_the_top_of_files_but_at_the_doors():
    inner = {}
    for path in SRC.rglob("*.py"):
        tree, name = ast.parse(path.read_text("utf8")), path.relative_to(SRC).as_posix()
        found = [n for f in functions(tree) for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
        if found:
            inner[name] = len(found)
    assert sum(inner.values()) <= MAX_INNER_IMPORTS, inner
    behind = {name: count for name, count in inner.items() if not name.startswith(DOORS)}
    assert sum(behind.values()) <= 5, behind  # what is optional, such as TensorBoard


def rules():
    """Every dataclass of rules on the way of a spike, with the source line of each field."""
    for room in ("traces", "spikes", "templates", "units", "tracking"):
        package = importlib.import_module(f"huidurep_sorter.{room}")
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for cls in vars(module).values():
                own = inspect.isclass(cls) and cls.__module__ == module.__name__
                if own and dataclasses.is_dataclass(cls) and cls.__name__.endswith(("Rules", "Limits")):
                    yield cls


@pytest.mark.parametrize("cls", list(rules()), ids=lambda cls: cls.__name__)
def test_every_threshold_has_an_address(cls):
    assert cls.__dataclass_params__.frozen
    source = inspect.getsource(cls)
    for field in dataclasses.fields(cls):
        line = re.search(rf"^ +{field.name}: .*$", source, re.M).group()
        why = line.partition("#")[2]
        assert len(why.split()) >= 3, f"{cls.__name__}.{field.name} doesn't say why"
        known = re.search(r"\b(traces|spikes|templates|units|encoder|sorters)-\d+\b", why) or "limit" in why
        assert known or "default" in why or cls.__name__.endswith("Limits"), (
            f"{cls.__name__}.{field.name}: which experiment?"
        )


def holds_number(value):
    """Say whether a value is a constant, or a tuple that isn't of names only."""
    if isinstance(value, ast.Tuple):
        is_name = [
            isinstance(item, ast.Starred) or isinstance(getattr(item, "value", None), str) for item in value.elts
        ]
        return not all(is_name)
    return isinstance(value, ast.Constant | ast.UnaryOp)


def test_no_threshold_stands_outside_of_the_rules():
    """Numbers of the sorting path are fields of rules or parameters."""
    allowed = {"VALUES_PER_CHUNK"}  # memory, which decides nothing
    for room in ("traces", "spikes", "templates", "units", "tracking"):
        for path in (SRC / room).glob("*.py"):
            for node in ast.parse(path.read_text("utf8")).body:
                if isinstance(node, ast.Assign) and holds_number(node.value):
                    names = {target.id for target in node.targets if isinstance(target, ast.Name)}
                    assert names <= allowed, f"{path.name}: {names} has no address"


@pytest.mark.parametrize(
    ("module", "table", "parameter"),
    [
        ("spikes.detection", "DETECTORS", "detection_method"),
        ("spikes.features", "FEATURES", "features"),
        ("spikes.clustering", "CLUSTERERS", "clustering_method"),
        ("templates.matching", "MATCHERS", "matching_method"),
    ],
)
def test_a_choice_that_is_registered_is_a_choice_of_the_user(monkeypatch, module, table, parameter):
    from huidurep_sorter.parameters import SortingParameters

    registered = getattr(importlib.import_module(f"huidurep_sorter.{module}"), table)
    for name in registered:
        SortingParameters(**{parameter: name}).check()
    monkeypatch.setitem(registered, "mine", None)
    SortingParameters(**{parameter: "mine"}).check()
    monkeypatch.delitem(registered, "mine")
    with pytest.raises(ValueError, match=parameter):
        SortingParameters(**{parameter: "mine"}).check()
