"""Recordings from disk, guessed by content."""

import os
import pickle
from datetime import datetime, timezone

import numpy as np
import pytest
from probeinterface import ProbeGroup, generate_linear_probe, write_prb, write_probeinterface

from huidurep_sorter.cli.main import main
from huidurep_sorter.cli.reading import format_name, guess_format, read_recording

BINARY = dict(sampling_frequency=25000.0, num_channels=4, dtype="float32")


@pytest.fixture
def binary_file(tetrode, tmp_path):
    path = tmp_path / "traces.dat"
    tetrode[0].get_traces().astype("float32").tofile(path)
    return path


def probe_file(folder, suffix):
    probe = generate_linear_probe(4, ypitch=25)
    probe.set_device_channel_indices([3, 2, 1, 0])
    path = folder / f"probe{suffix}"
    if suffix == ".prb":
        group = ProbeGroup()
        group.add_probe(probe)
        write_prb(path, group)
    else:
        write_probeinterface(path, probe)
    return path


def test_saved_folder_zarr_and_json(tetrode, tmp_path):
    recording = tetrode[0]
    recording.save(folder=tmp_path / "r.zarr", format="zarr", verbose=False, progress_bar=False)
    recording.dump(tmp_path / "r.json")
    for path in (recording._kwargs["folder_path"], tmp_path / "r.zarr", tmp_path / "r.json"):
        assert guess_format(path) == "spikeinterface"
        found = read_recording(path)
        assert found.has_probe()
        np.testing.assert_array_equal(found.get_traces(end_frame=100), recording.get_traces(end_frame=100))


class Harm:
    """Makes a folder when it is read from a pickle."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", ["r.pkl", "r.pickle", "R.PKL"])
def test_a_pickle_runs_nothing_unless_its_format_is_given(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    assert main(["sort", str(tmp_path / name), "-o", str(tmp_path / "out")]) == 2
    assert "runs whatever code is in it" in (message := capsys.readouterr().err)
    assert "--format spikeinterface" in message and message.count("\n") == 1
    assert not (tmp_path / "harm").exists()


def test_a_pickle_is_read_where_its_format_is_given(tetrode, tmp_path):
    tetrode[0].dump(tmp_path / "r.pkl")
    found = read_recording(tmp_path / "r.pkl", "spikeinterface")
    np.testing.assert_array_equal(found.get_traces(end_frame=100), tetrode[0].get_traces(end_frame=100))


@pytest.mark.parametrize("suffix", [".json", ".prb"])
def test_binary_with_probe(tetrode, binary_file, tmp_path, suffix):
    recording = read_recording(binary_file, probe=probe_file(tmp_path, suffix), binary=BINARY)
    traces = tetrode[0].get_traces(end_frame=50)
    np.testing.assert_array_equal(recording.get_traces(end_frame=50, channel_ids=recording.channel_ids), traces)
    assert list(recording.get_channel_locations()[:, 1]) == [75.0, 50.0, 25.0, 0.0]


def test_binary_without_description_is_refused(binary_file):
    with pytest.raises(ValueError, match="--sampling-frequency, --num-channels, --dtype"):
        read_recording(binary_file)


def test_binary_of_another_shape_is_refused(binary_file):
    with pytest.raises(ValueError, match="no multiple of 28"):
        read_recording(binary_file, binary=BINARY | {"num_channels": 7})


def test_probe_with_too_many_channels_is_refused(binary_file, tmp_path):
    probe = generate_linear_probe(8)
    probe.set_device_channel_indices(np.arange(8))
    write_probeinterface(tmp_path / "eight.json", probe)
    with pytest.raises(ValueError, match="names channel 7, the recording has 4"):
        read_recording(binary_file, probe=tmp_path / "eight.json", binary=BINARY)


def test_what_cannot_be_read(tmp_path, tetrode):
    with pytest.raises(FileNotFoundError, match="doesn't exist"):
        read_recording(tmp_path / "nothing")
    with pytest.raises(ValueError, match="can't tell the format"):
        read_recording(tmp_path)
    tetrode[1].save(folder=tmp_path / "sorting")
    with pytest.raises(ValueError, match="not a recording"):
        read_recording(tmp_path / "sorting")


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("run_g0/run_g0_imec0/run_g0_t0.imec0.ap.bin", "spikeglx"),
        ("Record Node 101/experiment1/recording1/structure.oebin", "openephys"),
        ("Record Node 101/100_CH1.continuous", "openephys"),
    ],
)
def test_folders_of_acquisition_systems(tmp_path, name, file_format):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert guess_format(tmp_path) == file_format


def test_files_by_suffix(tmp_path):
    (tmp_path / "a.bin").touch()
    (tmp_path / "a.nwb").touch()
    assert guess_format(tmp_path / "a.nwb") == "nwb"
    assert guess_format(tmp_path / "a.bin") == "binary"
    (tmp_path / "a.meta").touch()
    assert guess_format(tmp_path / "a.bin") == "spikeglx"


@pytest.mark.parametrize(
    ("names", "file_format"),
    [
        (["a.rhd"], "intan"),
        (["a.ns5"], "blackrock"),
        (["a.PLX"], "plexon"),
        (["a.pl2"], "plexon2"),
        (["a.rec"], "spikegadgets"),
        (["run/CSC1.ncs", "run/CSC2.ncs", "run/Events.nev"], "neuralynx"),
        (["run/a.tev", "run/a.tsq", "run/a.Tbk"], "tdt"),
    ],
)
def test_what_only_neo_can_tell(tmp_path, names, file_format):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert guess_format(tmp_path / names[0].split("/")[0]) == file_format


def test_every_name_that_neo_can_lead_to_is_one_of_spikeinterface():
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict
    from spikeinterface.extractors.neoextractors import neo_recording_extractors_dict

    assert {format_name(extractor) for extractor in neo_recording_extractors_dict} <= set(recording_extractor_full_dict)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.h5"], "several formats: give --format, one of biocam, maxwell, mearec, nix"),
        (["a.xyz"], "can't tell the format of .* give --format, one of spikeinterface, "),
        (["a"], "can't tell the format"),
        (["run/a.rhd"], "can't tell the format"),  # Intan is read from a file
        (["run/a.npy", "run/notes.xml"], "can't tell the format"),  # a suffix is too little for Open Ephys
        (["CSC1.ncs"], "can't tell the format"),  # Neuralynx is read from a folder
    ],
)
def test_what_neo_cannot_tell(tmp_path, names, message):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        guess_format(tmp_path / names[0].split("/")[0])


def test_a_misleading_suffix_is_told(tmp_path):
    (tmp_path / "a.rhd").write_bytes(b"no recording")
    with pytest.raises(ValueError, match="a.rhd seems to be of the format intan, .* give --format"):
        read_recording(tmp_path / "a.rhd")


def test_nwb(tetrode, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    recording = tetrode[0]
    nwb = pynwb.NWBFile("s", "i", datetime(2026, 1, 1, tzinfo=timezone.utc))
    device = nwb.create_device("probe")
    group = nwb.create_electrode_group("g", description="d", location="l", device=device)
    for name in ("rel_x", "rel_y"):
        nwb.add_electrode_column(name, "position on the probe")
    for x, y in recording.get_channel_locations():
        nwb.add_electrode(group=group, location="l", rel_x=float(x), rel_y=float(y))
    region = nwb.create_electrode_table_region(list(range(4)), "all")
    traces = recording.get_traces(end_frame=1000)
    nwb.add_acquisition(pynwb.ecephys.ElectricalSeries("es", traces, region, rate=25000.0))
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(nwb)
    found = read_recording(tmp_path / "a.nwb")
    np.testing.assert_array_equal(found.get_traces(), traces)
    np.testing.assert_allclose(found.get_channel_locations(), recording.get_channel_locations())


def test_any_extractor_of_spikeinterface_by_name(tmp_path, tetrode):
    recording, _ = tetrode
    recording.save(folder=tmp_path / "saved", verbose=False, progress_bar=False)
    assert read_recording(tmp_path / "saved", "binaryfolder").get_num_channels() == 4
    with pytest.raises(ValueError, match="there is no format 'abc'"):
        read_recording(tmp_path / "saved", "abc")
