"""The notebooks and the picture of the demo: what is committed is of the weights that are shipped; notebooks run."""

import json
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from huidurep_sorter.benchmark.circumstances import default_weights_sha256

EXAMPLES = Path(__file__).parents[1] / "examples"
DOCS = Path(__file__).parents[1] / "docs"
CHECKS = {  # run in the notebook's own kernel, after its last cell
    "quickstart": """
assert 10 <= len(metrics) <= 24 and len(properties) == len(metrics) and metrics.notna().all(axis=None)
assert (accuracy >= 0.8).sum() >= 8, accuracy
assert 0 < len(good) <= len(metrics)
assert (folder / "chosen.zarr").is_dir() and chosen.has_extension("quality_metrics")
""",
    "compare_sorters": """
assert list(cases["sorter"]) == sorters and (cases["status"] == "ok").all(), cases
ours = tables["units"].query("sorter == 'huidurep'")
assert len(ours) == 4 and (ours["accuracy"] >= 0.8).sum() >= 3, ours
assert accuracy.loc[("mean", ""), "huidurep"] > 0.8
""",
    "follow_units": """
assert all(abs(tracked.shifts_um[name] - shift) < 4 for name, shift in zip(days, shifts_um)), tracked.shifts_um
assert right >= 0.9 * len(pairs) and right >= 0.9 * possible and possible >= 20, (right, len(pairs), possible)
""",
}


@pytest.mark.parametrize("name", CHECKS)
def test_notebook_is_committed_with_its_output(name):
    path = EXAMPLES / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) >= 8 and any("image/png" in output.get("data", {}) for output in outputs)
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert path.stat().st_size < 700_000


@pytest.mark.parametrize("name", CHECKS)
def test_output_was_made_with_the_weights_that_are_shipped(name):
    """Else run `python examples/execute.py`."""
    metadata = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4).metadata
    assert metadata.get("huidurep_sorter", {}).get("weights_sha256") == default_weights_sha256()


def test_picture_of_the_demo_was_made_with_the_weights_that_are_shipped():
    """Else run `python examples/demo_picture.py`."""
    told = json.loads((DOCS / "demo.json").read_text(encoding="utf8"))
    assert told["weights_sha256"] == default_weights_sha256()
    assert told["picture_bytes"] == (DOCS / "demo.png").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_notebook_runs_at_small_size(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HUIDUREP_EXAMPLES_SMALL", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # nothing of the user's own settings
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    committed = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    notebook = deepcopy(committed)
    notebook.cells.append(nbformat.v4.new_code_cell(CHECKS[name]))
    NotebookClient(notebook, timeout=600, resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    for before, now in zip(committed.cells, notebook.cells, strict=False):
        printed = [o for o in now.get("outputs", []) if o.get("name") != "stderr"]  # tqdm misses a widget, or not
        assert before.get("outputs") or not printed, f"committed without its output: {now.source}"
