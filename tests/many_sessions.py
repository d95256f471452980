"""The recipe of docs/many_sessions.md as a script, with recordings of the tests in place of a laboratory's."""

import re
from pathlib import Path

import numpy as np
from spikeinterface.core import NumpyRecording

DOCUMENT = Path(__file__).parents[1] / "docs" / "many_sessions.md"
HEADER = """
import json, sys
from pathlib import Path
from spikeinterface.core import load
from spikeinterface.sorters import read_sorter_folder, run_sorter, run_sorter_jobs

results = Path({results!r})
sessions = {{name: load(folder) for name, folder in {folders!r}.items()}}
"""


def sections():
    """Heading of each section -> its pieces of Python."""
    parts = re.split(r"^## (.*)$", DOCUMENT.read_text("utf8"), flags=re.M)
    pieces = [re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) for text in parts[2::2]]
    return dict(zip(parts[1::2], pieces, strict=True))


def write_sessions(recording, folder):
    """Two sessions that can be sorted, and between them one that can't; name -> folder."""
    broken = NumpyRecording([np.full((30_000, 4), np.nan, dtype="float32")], 30_000.0)
    broken.set_probe(recording.get_probe(), in_place=True)
    folders = {"first": recording._kwargs["folder_path"], "broken": folder / "broken", "last": folder / "last"}
    broken.save(folder=folders["broken"], verbose=False)
    recording.frame_slice(0, 240_000).save(folder=folders["last"], verbose=False)
    return {name: str(path) for name, path in folders.items()}


def write_script(path, folders, results, quick, *pieces):
    """Write a script of pieces of the recipe."""
    _, jobs = sections()["The jobs"]
    jobs = jobs.replace('sorter_name="huidurep"', f'sorter_name="huidurep", **{quick!r}')
    path.write_text("\n".join([HEADER.format(results=str(results), folders=folders), jobs, *pieces]), "utf8")


def check_results(output):
    """The last lines of what the recipe prints: two sorted, and why the third isn't."""
    assert "2 sorted, 1 failed" in output, output
    assert "('broken', " in output and "NaN" in output, output
