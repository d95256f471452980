"""A study of SpikeInterface that can be opened again and grows."""

import json

from huidurep_sorter.benchmark.sorters.choices import parse_sorter
from huidurep_sorter.benchmark.sorters.study import open_study
from tests.benchmark.sorters.sorters import OTHER


def test_a_recording_can_be_added(data, tetrode, tmp_path):
    recording, truth = tetrode
    two = tmp_path / "two"
    recording.save(folder=two / "recording", verbose=False, progress_bar=False)
    truth.save(folder=two / "sorting")
    choices = [parse_sorter(OTHER)]
    open_study(tmp_path / "study", [data / "one"], choices)
    study = open_study(tmp_path / "study", [data / "one", two], choices)
    assert list(study.cases) == [("one", OTHER), ("two", OTHER)]
    assert study.datasets["two"][0].get_num_samples() == recording.get_num_samples()
    assert json.loads((tmp_path / "study" / "sources.json").read_text())["two"] == str(two)
