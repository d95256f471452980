"""Run the notebooks of this folder anew and keep their output: `python examples/execute.py [NAME.ipynb ...]`."""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from huidurep_sorter.benchmark.circumstances import default_weights_sha256

HERE = Path(__file__).parent


def execute(path, folder):
    """Run the notebook of a file from top to bottom in a folder, and return it.

    What depends on the day isn't kept, nor that the machine has no widgets for progress bars. The metadata say with
    which weights the output was made, so that a test notices output that is older than the weights.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=3600, resources=dict(metadata=dict(path=str(folder)))).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if "TqdmWarning" not in output.get("text", "")]
    notebook.metadata["language_info"] = dict(name="python")
    notebook.metadata["huidurep_sorter"] = dict(weights_sha256=default_weights_sha256())
    return notebook


if __name__ == "__main__":
    for path in [HERE / name for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(execute(path, folder), path)
