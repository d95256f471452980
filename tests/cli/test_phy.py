"""The folder for Phy, as phylib, which reads it for Phy, sees it."""

import shutil
import sys

import numpy as np
import pytest
import yaml
from spikeinterface.core import NumpyRecording, NumpySorting
from spikeinterface.sorters import read_sorter_folder

from huidurep_sorter.cli.main import main
from huidurep_sorter.cli.phy import export_phy
from huidurep_sorter.sorter import HuidurepSorter

model_of_phy = pytest.importorskip("phylib.io.model")


@pytest.fixture
def sort(tetrode, quick, tmp_path):
    """Sort a recording with the command, to be exported."""
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump(quick))

    def run(recording=tetrode[0], *args):
        source = str(recording._kwargs["folder_path"])
        options = ["-o", str(tmp_path / "out"), "--params", str(tmp_path / "quick.yaml"), "--export-phy", *args]
        return main(["sort", source, *options])

    return run


def open_in_phy(folder):
    return model_of_phy.load_model(folder / "params.py")


def check_unit(model, unit):
    """Waveforms from the traces, amplitudes and features of the spikes of a unit; gives the mean waveform."""
    spikes, channels = model.get_cluster_spikes(unit), model.get_cluster_channels(unit)
    waveforms = model.get_waveforms(spikes, channels)
    assert waveforms.shape == (len(spikes), model.n_samples_waveforms, len(channels))
    features = model.get_features(spikes, channels)
    assert features.shape == (len(spikes), len(channels), 3)
    assert np.isfinite(features).all() and (features.std(axis=0) > 0).all()
    mean = waveforms.mean(axis=0)  # channels are in order of size: that of the first is the largest
    assert abs(mean[:, 0].argmin() - model.n_samples_waveforms // 2) <= 3
    np.testing.assert_allclose(model.amplitudes[spikes].mean(), mean[:, 0].min(), rtol=0.2)
    template = model.get_template(unit)
    np.testing.assert_array_equal(template.channel_ids, channels)
    # a template is learned of 500 spikes at most, and lies where Phy reads waveforms
    np.testing.assert_allclose(template.template, mean, atol=0.1 * np.abs(mean).max())
    return mean


def test_all_of_a_sorting_is_there_also_elsewhere(sort, tmp_path, capsys):
    assert sort() == 0
    assert "Traceback" not in capsys.readouterr().err
    out = tmp_path / "out"
    sorting = read_sorter_folder(out)
    assert len(sorting.unit_ids) > 1 and not (out / "phy.partial").exists()
    out = shutil.move(out, tmp_path / "elsewhere")
    (tmp_path / "out").mkdir()  # where nothing is found any more
    model = open_in_phy(out / "phy")
    assert [path.parent for path in model.dat_path] == [(out / "phy").resolve()]
    assert model.n_templates == len(model.cluster_ids) == len(sorting.unit_ids)
    spikes = sorting.to_spike_vector()
    np.testing.assert_array_equal(model.spike_samples, spikes["sample_index"])
    np.testing.assert_array_equal(model.spike_clusters, spikes["unit_index"])
    for unit in model.cluster_ids:
        check_unit(model, unit)
    names = [name for name in sorting.get_property_keys() if name.startswith("huidurep_")]
    assert "huidurep_snr" in names
    for name, column in [(n, n) for n in names] + [("group", "channel_group"), ("main_channel_id", "main_channel_id")]:
        lines = (out / "phy" / f"cluster_{column}.tsv").read_text().splitlines()
        assert lines[0] == f"cluster_id\t{column}"
        shown = {unit: value for unit, value in enumerate(sorting.get_property(name)) if value == value}  # not NaN
        found = model.metadata.get(column, {})
        assert list(found) == list(shown)
        if name == "huidurep_label":
            assert found == shown
            continue
        np.testing.assert_allclose(list(found.values()), np.array(list(shown.values()), dtype="float64"), rtol=1e-5)
    assert set(model.metadata["group"].values()) == {"unsorted"}  # Phy's own labels


def one_unit_of_raw_integers(tetrode):
    """One of the units, and the recording in integers that aren't µV and have an offset."""
    recording, truth = tetrode
    raw = np.round(recording.get_traces() / 0.2 + 30000).astype("uint16")
    raw = NumpyRecording([raw], recording.sampling_frequency, channel_ids=recording.channel_ids)
    raw.set_probe(recording.get_probe())
    raw.set_channel_gains(0.2)
    raw.set_channel_offsets(-6000.0)
    return NumpySorting.from_unit_dict([{"only": truth.get_unit_spike_train(truth.unit_ids[0])}], 25000.0), raw


def test_one_unit_in_microvolts(tetrode, tmp_path):
    sorting, raw = one_unit_of_raw_integers(tetrode)
    export_phy(sorting, raw, tmp_path / "phy", HuidurepSorter.default_params())
    model = open_in_phy(tmp_path / "phy")
    assert model.cluster_ids == [0] and model.metadata["si_unit_id"] == {0: "only"}
    mean = check_unit(model, 0)
    train = sorting.get_unit_spike_train("only")
    template = np.mean([tetrode[0].get_traces()[t - 25 : t + 25] for t in train[1:-1]], axis=0)
    np.testing.assert_allclose(mean.min(), template.min(), rtol=0.25)  # the filter takes off a bit


def test_moments_and_channels_without_values_do_not_spread(tetrode, tmp_path):
    recording, truth = tetrode
    traces = recording.get_traces().copy()
    traces[50000:55000], traces[:, 2] = np.nan, 0
    broken = NumpyRecording([traces], recording.sampling_frequency, channel_ids=recording.channel_ids)
    broken.set_probe(recording.get_probe())
    export_phy(truth, broken, tmp_path / "phy", HuidurepSorter.default_params())
    model = open_in_phy(tmp_path / "phy")
    assert model.n_channels == 3  # as the sorter leaves it out
    assert np.isfinite(model.traces[:]).all() and np.isfinite(model.features[:]).all()


def test_no_unit_is_no_error(tetrode, tmp_path, capsys):
    nothing = NumpySorting.from_unit_dict([{}], 25000.0)
    export_phy(nothing, tetrode[0], tmp_path / "phy", HuidurepSorter.default_params())
    assert "nothing to export" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_sorting_and_no_folder(sort, tmp_path, monkeypatch, capsys):
    def fail(analyzer, folder, **kwargs):
        folder.mkdir()
        raise OSError("no space left on device")

    monkeypatch.setattr("spikeinterface.exporters.export_to_phy", fail)
    assert sort() == 1
    error = capsys.readouterr().err
    assert "the sorting is done" in error and "no space left" in error
    assert len(read_sorter_folder(tmp_path / "out").unit_ids)
    assert not list((tmp_path / "out").glob("phy*"))


def test_refused_before_sorting(sort, two_segments, tetrode, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huidurep_sorter.cli.sort.run_sorter", lambda *args, **kwargs: pytest.fail("it sorts"))
    assert sort(two_segments[0]) == 2
    assert "one segment, and this one has 2" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "spikeinterface.exporters", None)  # so that importing it fails
    assert sort() == 2
    assert "huidurep-sorter[phy]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
