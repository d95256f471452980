"""`huidurep report`: of a sorting of ours, of another's, and what it can't show."""

import numpy as np
import pytest
from spikeinterface.core import NumpySorting, create_sorting_analyzer, load
from spikeinterface.sorters import run_sorter

from huidurep_sorter.cli.main import main


@pytest.fixture(scope="module")
def folder(tetrode, quick, tmp_path_factory):
    """The folder of a sorting without a report."""
    folder = tmp_path_factory.mktemp("sorted") / "mine"
    run_sorter("huidurep", tetrode[0], folder=folder, **quick)
    return folder


def test_the_report_of_a_sorting_is_written_later(folder, capsys):
    path = folder / "sorter_output" / "report.html"
    assert not path.exists()
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert "Unit 0" in path.read_text("utf8")


def save_truth(tetrode, folder, kind):
    """Save the true units as the sorting of somebody else; give the options that name it."""
    recording, truth = tetrode
    if kind == "analyzer":
        create_sorting_analyzer(truth, recording, format="binary_folder", folder=folder)
        return [str(folder)]
    truth.save(folder=folder)
    source = recording.get_parent() or recording
    return [str(folder), "--recording", str(source._kwargs["folder_path"])]


@pytest.mark.parametrize("kind", ["analyzer", "sorting"])
def test_units_of_others_are_shown_with_their_ids_and_our_properties(tetrode, tmp_path, kind, capsys):
    options = save_truth(tetrode, tmp_path / "theirs", kind)
    assert main(["report", *options, "-o", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    found, truth = load(tmp_path / "out" / "sorting"), tetrode[1]
    assert [str(unit) for unit in found.unit_ids] == [str(unit) for unit in truth.unit_ids]
    for unit in truth.unit_ids:
        theirs, shown = (sorting.get_unit_spike_train(unit) for sorting in (truth, found))
        assert np.isin(shown, theirs).all() and len(shown) >= len(theirs) - 2  # but for those that the ends cut off
    assert (found.get_property("huidurep_nn_hit_rate") > 0.3).all()
    text = (tmp_path / "out" / "report.html").read_text("utf8")
    assert all(f"Unit {unit}<" in text for unit in truth.unit_ids)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "artefacts.npy",
        "findings.npz",
        "huidurep.log",
        "report.html",
        "sorting",
        "spike_probabilities.npy",
    ]


def test_a_sorting_in_two_segments_is_shown(two_segments, tmp_path):
    recording, truth = two_segments
    create_sorting_analyzer(truth, recording, format="binary_folder", folder=tmp_path / "theirs")
    assert main(["report", str(tmp_path / "theirs"), "-o", str(tmp_path / "out")]) == 0
    found = load(tmp_path / "out" / "sorting")
    for segment in range(2):
        theirs, shown = (s.get_unit_spike_train(truth.unit_ids[0], segment) for s in (truth, found))
        assert np.isin(shown, theirs).all() and len(shown) >= len(theirs) - 2
    assert "16.0 s at" in (tmp_path / "out" / "report.html").read_text("utf8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["missing"], "doesn't exist"),
        (["."], "give --output"),
        ([".", "-o", "full"], "exists"),
        (["recording.txt", "-o", "out"], "recording.txt"),
    ],
)
def test_what_can_not_be_shown_is_refused_in_one_line(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("mine")
    (tmp_path / "recording.txt").write_text("no sorting")
    assert main(["report", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert (tmp_path / "full" / "other.txt").read_text() == "mine"


def test_a_recording_with_other_segments_is_refused(two_segments, tetrode, tmp_path, capsys):
    tetrode[1].save(folder=tmp_path / "theirs")
    source = two_segments[0].get_parent() or two_segments[0]
    options = [str(tmp_path / "theirs"), "--recording", str(source._kwargs["folder_path"]), "-o", str(tmp_path / "out")]
    assert main(["report", *options]) == 2
    assert "the sorting has 1 segments and the recording 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_of_a_report_that_failed(tetrode, tmp_path, capsys):
    nothing = NumpySorting.from_unit_dict({"a": np.zeros(0, dtype="int64")}, tetrode[0].sampling_frequency)
    create_sorting_analyzer(nothing, tetrode[0], format="binary_folder", folder=tmp_path / "theirs", sparse=False)
    assert main(["report", str(tmp_path / "theirs"), "-o", str(tmp_path / "out")]) == 1
    assert "no spike" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
