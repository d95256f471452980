"""Recordings from disk, guessed by content."""

import os
import pickle
import re

import numpy as np
import pytest
from probeinterface import generate_linear_probe, write_probeinterface
from spikeinterface.extractors.mdaextractors import MdaRecordingExtractor

from huidurep_sorter.cli.main import main
from huidurep_sorter.cli.reading import choose_stream, format_name, format_names, guess_format, read_recording
from tests.cli import formats

BINARY = dict(sampling_frequency=25000.0, num_channels=4, dtype="float32")


def check_read(path, traces, gain, *, file_format=None, stream=None):
    """Read, and compare what is there with what was written."""
    recording = read_recording(path, file_format, stream=stream)
    assert recording.get_num_segments() == 1
    np.testing.assert_allclose(recording.get_traces(return_in_uV=True), traces * gain, rtol=1e-5, atol=1e-2)
    return recording


@pytest.fixture
def binary_file(tetrode, tmp_path):
    path = tmp_path / "traces.dat"
    tetrode[0].get_traces().astype("float32").tofile(path)
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


@pytest.mark.parametrize("name", ["r.pkl", "r.pickle", "R.PKL"])
def test_a_pickle_runs_nothing_unless_its_format_is_given(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(pickle.dumps(formats.Harm(tmp_path / "harm")))
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
    recording = read_recording(binary_file, probe=formats.write_probe(tmp_path, suffix), binary=BINARY)
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


def test_a_probe_file_that_is_none_is_refused(binary_file):
    with pytest.raises(ValueError, match="--probe .*traces.dat is no probe that can be read: "):
        read_recording(binary_file, probe=binary_file, binary=BINARY)


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


@pytest.mark.parametrize("series", [[("es", 25000.0)], [("LFP", 1000.0), ("es", 25000.0), ("es_aux", 25000.0)]])
@pytest.mark.parametrize("given", [(), ("nwb",)])
def test_nwb(tetrode, tmp_path, series, given):
    recording = tetrode[0]
    traces = formats.write_nwb(tmp_path / "a.nwb", recording, series)
    found = read_recording(tmp_path / "a.nwb", *given)
    np.testing.assert_array_equal(found.get_traces(), traces["es"])
    np.testing.assert_allclose(found.get_channel_locations(), recording.get_channel_locations())


def test_nwb_with_several_series(tetrode, tmp_path):
    traces = formats.write_nwb(tmp_path / "a.nwb", tetrode[0], [("first", 25000.0), ("second", 25000.0)])
    with pytest.raises(ValueError, match="several streams of .*: give --stream, one of acquisition/first, .*/second"):
        read_recording(tmp_path / "a.nwb")
    found = read_recording(tmp_path / "a.nwb", stream="second")
    np.testing.assert_array_equal(found.get_traces(), traces["second"])


@pytest.mark.parametrize("file_format", [None, "openephys", "openephysbinary", "OpenEphys"])
@pytest.mark.parametrize(
    "below", ["", "*", "*/experiment1", "*/experiment1/recording1", "*/experiment1/recording1/structure.oebin"]
)
def test_openephys_binary(tmp_path, monkeypatch, below, file_format):
    folder, traces = formats.write_openephys_session(tmp_path)
    path = next(folder.glob(below)) if below else folder
    monkeypatch.chdir(path if path.is_dir() else path.parent)
    for same in (path, path.relative_to(os.getcwd())):
        recording = check_read(same, traces, formats.GAIN, file_format=file_format)
        assert recording.sampling_frequency == 30000.0
        assert recording.get_channel_locations()[:, 1].tolist() == [0, 0, 40, 60]


def test_openephys_stream_by_name(tmp_path):
    folder, traces = formats.write_openephys_session(tmp_path)
    lfp = "Record Node 101#Neuropix-PXI-100.ProbeA-LFP"
    recording = check_read(folder, formats.make_traces(seed=1), formats.GAIN, stream=lfp)
    assert recording.sampling_frequency == 2500.0
    check_read(folder, traces, formats.GAIN, stream="ProbeA")
    with pytest.raises(ValueError, match=f"no stream of .* by 'ProbeB': give --stream, one of .*{lfp}.*NI-DAQmx-102"):
        read_recording(folder, stream="ProbeB")


def test_openephys_of_several_experiments(tmp_path):
    node = tmp_path / "Record Node 101"
    for i in (1, 2):
        formats.write_openephys(node / f"experiment{i}" / "recording1", {"a": (formats.make_traces(seed=i), 30000.0)})
    with pytest.raises(ValueError, match="give --stream, one of experiment1/Record Node 101#a, experiment2/"):
        read_recording(tmp_path)
    check_read(tmp_path, formats.make_traces(seed=2), formats.GAIN, stream="experiment2")
    check_read(node / "experiment2", formats.make_traces(seed=2), formats.GAIN)


@pytest.mark.parametrize("nodes", [[1, 1], [1, 2]])
def test_openephys_of_several_probes_or_record_nodes(tmp_path, nodes):
    for i, (node, name) in enumerate(zip(nodes, "AB", strict=True)):
        streams = {f"Neuropix-PXI-100.Probe{name}-AP": (formats.make_traces(seed=i), 30000.0)}
        formats.write_openephys(tmp_path / f"Record Node {node}" / "experiment1" / "recording1", streams)
    with pytest.raises(ValueError, match="several streams .* give --stream, one of .*1#.*ProbeA-AP, .*ProbeB-AP"):
        read_recording(tmp_path)
    for i, stream in enumerate(("ProbeA", "ProbeB")):
        check_read(tmp_path, formats.make_traces(seed=i), formats.GAIN, stream=stream)
    if nodes == [1, 2]:
        check_read(tmp_path / "Record Node 2", formats.make_traces(seed=1), formats.GAIN)


def test_openephys_experiment_without_spikes_is_passed_over(tmp_path):
    for i, rate in ((1, 1000.0), (2, 30000.0)):
        formats.write_openephys(tmp_path / f"experiment{i}" / "recording1", {"a": (formats.make_traces(seed=i), rate)})
    check_read(tmp_path, formats.make_traces(seed=2), formats.GAIN)


def test_openephys_recordings_are_segments(tmp_path):
    for i in (1, 2):
        streams = {"a": (formats.make_traces(seed=i), 30000.0)}
        formats.write_openephys(tmp_path / "experiment1" / f"recording{i}", streams)
    recording = read_recording(tmp_path)
    for i in (1, 2):
        np.testing.assert_array_equal(recording.get_traces(segment_index=i - 1), formats.make_traces(seed=i))
    check_read(tmp_path / "experiment1" / "recording2", formats.make_traces(seed=2), formats.GAIN)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            ["a/experiment1/recording1", "b/experiment1/recording1"],
            "several sessions: give the folder of one, .*a, .*b",
        ),
        (
            [f"Record Node {i}/experiment{k}/recording1" for i, k in ((1, 1), (2, 1), (2, 2))],
            "the Record Nodes in .* hold different experiments: give the folder of one, .*Node 1, .*Node 2",
        ),
        (["mouse/recording1"], "must lie in folders experimentN/recordingN"),
    ],
)
def test_openephys_folders_that_neo_would_confuse(tmp_path, folders, message):
    for folder in folders:
        formats.write_openephys(tmp_path / folder, {"a": (formats.make_traces(), 30000.0)})
    with pytest.raises(ValueError, match=message):
        read_recording(tmp_path)


@pytest.mark.parametrize("file_format", [None, "openephys", "openephyslegacy"])
@pytest.mark.parametrize("below", ["", "Record Node 101"])
def test_openephys_legacy(tmp_path, below, file_format):
    traces = formats.make_traces(2048, 12)
    node = tmp_path / "Record Node 101"
    formats.write_openephys_legacy(node, traces)
    formats.write_openephys_legacy(node, formats.make_traces(2048, 1), names=["ADC1"])
    check_read(tmp_path / below, traces, formats.GAIN, file_format=file_format)


def test_openephys_legacy_with_several_recordings(tmp_path):
    traces = {i: formats.make_traces(2048, 9, seed=i) for i in (1, 2)}
    for i in (1, 2):
        formats.write_openephys_legacy(tmp_path / "few", traces[i], recording=i)
        formats.write_openephys_legacy(tmp_path / "many", formats.make_traces(1024, 12, seed=i), recording=i)
    formats.write_openephys_legacy(tmp_path / "odd", traces[1], names=range(1, 10))
    recording = read_recording(tmp_path / "few")
    for i in (1, 2):
        np.testing.assert_array_equal(recording.get_traces(segment_index=i - 1), traces[i])
    with pytest.raises(ValueError, match="2 recordings with channels in different orders"):
        read_recording(tmp_path / "many")
    with pytest.raises(ValueError, match="can't tell a channel from a recording"):
        read_recording(tmp_path / "odd")
    with pytest.raises(ValueError, match="several recordings: give the folder of one, .*few, .*many, .*odd"):
        read_recording(tmp_path)


SPIKEGLX_GAIN = 0.6 / 512 / 500 * 1e6


@pytest.mark.parametrize("file_format", [None, "spikeglx"])
def test_spikeglx_folder(tmp_path, file_format):
    recording = read_recording(formats.write_spikeglx_run(tmp_path).parent, file_format)
    for i in range(2):
        np.testing.assert_array_equal(recording.get_traces(segment_index=i), formats.make_traces(seed=i))
    assert recording.get_channel_locations()[:, 1].tolist() == [0, 0, 20, 20]


@pytest.mark.parametrize("file_format", [None, "spikeglx"])
@pytest.mark.parametrize("suffix", [".ap.bin", ".ap.meta"])
def test_spikeglx_file(tmp_path, suffix, file_format):
    folder = formats.write_spikeglx_run(tmp_path)
    for i in range(2):
        path = folder / f"run.v2_g0_t{i}.imec0{suffix}"
        recording = check_read(path, formats.make_traces(seed=i), SPIKEGLX_GAIN, file_format=file_format)
        assert recording.get_channel_locations()[:, 1].tolist() == [0, 0, 20, 20]
    lfp = folder / f"run.v2_g0_t1.imec0.lf{path.suffix}"
    check_read(lfp, formats.make_traces(seed=1)[::12], 2 * SPIKEGLX_GAIN)


def test_spikeglx_of_several_probes(tmp_path):
    for i in range(2):
        formats.write_spikeglx(tmp_path, f"imec{i}.ap", formats.make_traces(seed=i))
    with pytest.raises(ValueError, match="several streams of .*: give --stream, one of imec.*"):
        read_recording(tmp_path)
    check_read(tmp_path, formats.make_traces(seed=1), SPIKEGLX_GAIN, stream="imec1.ap")
    check_read(tmp_path, formats.make_traces(seed=1), SPIKEGLX_GAIN, stream="imec1")
    with pytest.raises(ValueError, match="is of the stream imec0.ap, not 'imec1'"):
        read_recording(tmp_path / "run_g0_t0.imec0.ap.bin", stream="imec1")


def test_spikeglx_of_several_runs(tmp_path):
    for name in ("a_g0_t0", "b_g0_t0"):
        formats.write_spikeglx(tmp_path / name, "imec0.ap", formats.make_traces(), name=name)
    with pytest.raises(ValueError, match="holds several runs .*a_g0_t0.imec0.ap.meta.*: give a folder that holds one"):
        read_recording(tmp_path)


def test_spikeglx_without_its_other_file_or_without_spikes(tmp_path):
    path = formats.write_spikeglx(tmp_path, "imec0.lf", formats.make_traces(), sampling_frequency=2500)
    with pytest.raises(ValueError, match="no stream of .* can hold spikes: give --stream, one of imec0.lf"):
        read_recording(tmp_path, "spikeglx")
    path.unlink()
    with pytest.raises(ValueError, match="run_g0_t0.imec0.lf.bin must lie beside it"):
        read_recording(path.with_suffix(".meta"), "spikeglx")


@pytest.mark.parametrize("file_format", [None, "intan"])
def test_intan(tmp_path, file_format):
    formats.write_intan(tmp_path / "a.rhd", traces := formats.make_traces())
    recording = check_read(tmp_path / "a.rhd", traces, formats.GAIN, file_format=file_format)
    assert recording.channel_ids.tolist() == ["A-000", "A-001", "A-002", "A-003"]


@pytest.mark.parametrize("file_format", [None, "blackrock"])
@pytest.mark.parametrize("suffix", [".ns5", ".ns6"])
def test_blackrock(tmp_path, suffix, file_format):
    traces = {".ns5": formats.make_traces(), ".ns6": formats.make_traces(seed=1)}
    formats.write_blackrock(tmp_path / "a.ns2", formats.make_traces(100), period=30)
    for name, values in traces.items():
        formats.write_blackrock(tmp_path / f"a{name}", values)
    check_read(tmp_path / f"a{suffix}", traces[suffix], 0.25, file_format=file_format)


@pytest.mark.parametrize("file_format", [None, "neuralynx"])
@pytest.mark.parametrize("lfp", [False, True])
def test_neuralynx(tmp_path, lfp, file_format):
    formats.write_neuralynx(tmp_path, traces := formats.make_traces())
    if lfp:
        formats.write_neuralynx(tmp_path, formats.make_traces(512, 2), first=5, sampling_frequency=2000)
    recording = check_read(tmp_path, traces, 0.25, file_format=file_format)
    assert recording.get_property("channel_name").tolist() == ["CSC1", "CSC2", "CSC3", "CSC4"]


@pytest.mark.parametrize("file_format", [None, "mda"])
def test_mda(tetrode, tmp_path, file_format):
    recording = tetrode[0].frame_slice(0, 1000)
    MdaRecordingExtractor.write_recording(recording, tmp_path / "a", progress_bar=False)
    found = read_recording(tmp_path / "a", file_format)
    np.testing.assert_array_equal(found.get_traces(), recording.get_traces())
    np.testing.assert_array_equal(found.get_channel_locations(), recording.get_channel_locations())


@pytest.mark.parametrize("file_format", ["binaryfolder", "zarr"])
def test_any_extractor_of_spikeinterface_by_name(tmp_path, tetrode, file_format):
    recording = tetrode[0].frame_slice(0, 1000)
    save = dict(format="zarr") if file_format == "zarr" else {}
    recording.save(folder=tmp_path / "saved.zarr", verbose=False, progress_bar=False, **save)
    found = read_recording(tmp_path / "saved.zarr", file_format)
    np.testing.assert_array_equal(found.get_traces(), recording.get_traces())


@pytest.mark.parametrize(
    ("given", "meant"),
    [("spikegl", "spikeglx"), ("open-ephys", "openephys"), ("Blackrok", "blackrock"), ("qqq", None)],
)
def test_a_typo_gets_a_suggestion_and_the_list(binary_file, given, meant):
    suggestion = rf" \(did you mean {meant}.*\)" if meant else ""
    with pytest.raises(ValueError, match=f"no format '{given}'{suggestion}; --format takes spikeinterface, .*, mda, "):
        read_recording(binary_file, given)


def test_help_lists_every_format(capsys):
    with pytest.raises(SystemExit):
        main(["sort", "--help"])
    text = capsys.readouterr().out.replace("\n", " ")
    assert all(name in text for name in format_names())
    assert {"openephys", "openephyslegacy", "intan", "mda", "compressedbinaryibl"} <= set(format_names())
    assert not {"numpy", "ibl", "nwbtimeseries", "whitematter"} & set(format_names())  # no path, or more than a path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "neuralynx"], "--format neuralynx reads a folder, and .*a.rhd isn't one: give the folder"),
        (["--format", "mearec"], "a.rhd can't be read with --format mearec|a.rhd: --format mearec needs a library"),
        (["--format", "mearec", "--stream", "x"], "a.rhd can't be read with --stream: --format mearec knows"),
        (["--format", "axon"], "a.rhd can't be read with --format axon: .*is it of another format, or damaged?"),
        (["--stream", "x"], "no stream of .*a.rhd can be meant by 'x': give --stream, one of RHD2000 amplifier"),
        (["--format", "openephys"], "isn't of Open Ephys: it holds no structure.oebin and no .continuous file"),
        (["--probe", "none.json"], "the probe file none.json doesn't exist"),
    ],
)
def test_errors_are_one_line_that_names_the_file_and_the_way_out(tmp_path, capsys, options, message):
    formats.write_intan(tmp_path / "a.rhd", formats.make_traces())
    assert main(["sort", str(tmp_path / "a.rhd"), "-o", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("rates", "wanted", "stream"),
    [
        ({"imec0.ap": 30000, "imec0.lf": 2500, "nidq": 25000, "imec0.ap-SYNC": 30000, "obx0": 30300}, None, "imec0.ap"),
        ({"Neuropix-PXI-100.0": 30000, "Neuropix-PXI-100.1": 2500}, None, "Neuropix-PXI-100.0"),
        ({"nidq": 25000}, None, "nidq"),  # neurons can be recorded on a NI-DAQ
        ({"imec0.ap": 30000, "imec0.lf": 2500}, "imec0.lf", "imec0.lf"),
        ({"imec0.ap": 30000, "imec0.lf": 2500, "imec1.ap": 30000}, "imec0", "imec0.ap"),
    ],
)
def test_the_stream_with_spikes_is_chosen(tmp_path, rates, wanted, stream):
    assert choose_stream(tmp_path, rates, wanted) == stream
