"""`run_sorter("huidurep", ...)` as with every sorter: port of SpikeInterface's common suite, and more."""

import json
import logging
import shutil

import numpy as np
import pytest
from probeinterface import ProbeGroup
from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import NumpyRecording, NumpySorting, aggregate_units, append_recordings
from spikeinterface.sorters import (
    get_default_sorter_params,
    read_sorter_folder,
    run_sorter,
    run_sorter_by_property,
    run_sorter_jobs,
)
from spikeinterface.sorters.utils import SpikeSortingError

from huidurep_sorter import HuidurepSorter, __version__
from huidurep_sorter import sorter as sorter_module
from huidurep_sorter.pipeline import add_silent_segments

from .conftest import make_recording

JSON_FILES = ("spikeinterface_recording.json", "spikeinterface_params.json", "spikeinterface_log.json")


@pytest.fixture(scope="module")
def sorted_tetrode(tetrode, quick, tmp_path_factory):
    """A folder in which the tetrode was sorted, with quick parameters."""
    folder = tmp_path_factory.mktemp("sorted") / "huidurep"
    assert run_sorter("huidurep", tetrode[0], folder=folder, with_output=False, **quick) is None
    return folder


def no_sorting(*args, **kwargs):
    raise AssertionError("work began before the parameters were checked")


# The common suite: 4 channels, 60 s, all default parameters


def test_common_suite_all_defaults(tmp_path):
    recording, truth = make_recording(tmp_path, durations=(60.0,), num_units=5)
    folder = tmp_path / "huidurep"
    sorting = run_sorter(
        "huidurep",
        recording,
        folder=folder,
        remove_existing_folder=True,
        delete_output_folder=True,
        verbose=False,
        raise_error=True,
        **get_default_sorter_params("huidurep"),
    )
    assert {"recording", "params", "log"} <= set(sorting.sorting_info)
    assert not (folder / "sorter_output").is_dir()
    assert all((folder / name).is_file() for name in JSON_FILES)
    accuracy = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True).get_performance()["accuracy"]
    assert accuracy.max() > 0.8, "not even the best unit of an easy recording was found"


def test_version():
    assert HuidurepSorter.get_sorter_version() == __version__


# Folders


def test_result_is_read_back_from_the_folder(sorted_tetrode, tetrode):
    sorting = read_sorter_folder(sorted_tetrode)
    recording, truth = tetrode
    assert len(sorting.unit_ids) > 0
    assert sorting.sampling_frequency == recording.sampling_frequency
    assert sorting.has_recording() and sorting.get_num_samples(0) == recording.get_num_samples(0)
    spikes = sorting.to_spike_vector()["sample_index"]
    assert spikes.min() >= 0 and spikes.max() < recording.get_num_samples(0)
    assert not (sorted_tetrode / "sorter_output" / "sorting.partial").exists()


def test_log_names_device_and_times_and_reaches_sorting_info(sorted_tetrode):
    trace = read_sorter_folder(sorted_tetrode).sorting_info["log"]["runtime_trace"]
    text = (sorted_tetrode / "sorter_output" / "huidurep.log").read_text()
    assert [line.strip() for line in text.splitlines()] == trace
    for part in ("device: ", "recording: 4 channels", "detect: ", "match: ", "total: "):
        assert part in text


def test_a_report_that_fails_loses_nothing(tetrode, quick, tmp_path, monkeypatch, sorted_tetrode):
    def fail(folder):
        raise OSError("no space left")

    monkeypatch.setattr("huidurep_sorter.report.page.write_report", fail)
    sorting = run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", **quick | dict(save_report=True))
    np.testing.assert_array_equal(sorting.to_spike_vector(), read_sorter_folder(sorted_tetrode).to_spike_vector())
    assert "no report was written" in (tmp_path / "out" / "sorter_output" / "huidurep.log").read_text()
    assert not (tmp_path / "out" / "sorter_output" / "report.html").exists()


def test_unit_properties_survive_the_folder(tetrode, tmp_path, monkeypatch):
    """Whatever properties the pipeline gives, of numbers, texts and booleans."""
    made = NumpySorting.from_unit_dict([{"0": np.array([5, 90]), "1": np.array([7])}], 25000.0)
    made.set_property("snr", np.array([4.5, 9.0]))
    made.set_property("label", np.array(["good", "mua"]))
    made.set_property("is_good", np.array([True, False]))
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", lambda *args, **kwargs: made)
    sorting = run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", features="svd")
    reloaded = read_sorter_folder(tmp_path / "out")
    for found in (sorting, reloaded):
        assert list(found.unit_ids) == ["0", "1"]
        for key in ("snr", "label", "is_good"):
            np.testing.assert_array_equal(found.get_property(key), made.get_property(key))


PROPERTIES = {
    "snr": np.array([4.5, 9.0]),
    "n_spikes": np.array([2, 1]),
    "label": np.array(["good", "mua"]),
    "is_good": np.array([True, False]),
    "x": np.array([1.5, 2.5], dtype="float32"),
}
TRAINS = {"one segment": [1], "silent last segments": [1, 0, 0], "silent between": [1, 0, 1], "empty": [0], "": [0, 0]}


@pytest.mark.parametrize("spiking", TRAINS.values(), ids=TRAINS)
def test_the_result_is_in_memory_and_whole(tetrode, tmp_path, monkeypatch, spiking):
    """All properties of the same type, all segments, ids that can be compared; and nothing of it on disk."""
    has_units, silence = any(spiking), np.array([], dtype="int64")
    trains = {"a": np.array([5, 90]), "b": np.array([7])} if has_units else {}
    made = NumpySorting.from_unit_dict([trains if s else dict.fromkeys(trains, silence) for s in spiking], 25000.0)
    add_silent_segments(made, len(spiking))
    for key, values in PROPERTIES.items() if has_units else ():
        made.set_property(key, values)
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", lambda *args, **kwargs: made)
    recording, folder = append_recordings([tetrode[0]] * len(spiking)), tmp_path / "out"
    results = run_sorter("huidurep", recording, folder=folder, features="svd"), read_sorter_folder(folder)
    shutil.rmtree(folder)
    for found in results:
        assert type(found) is NumpySorting and type(found.to_spike_vector()) is np.ndarray
        assert found.get_num_segments() == len(spiking)
        np.testing.assert_array_equal(found.to_spike_vector(), made.to_spike_vector())
        assert list(found.unit_ids) == (["a", "b"] if has_units else [])
        assert has_units or found.unit_ids.dtype.kind == "U"
        assert set(found.get_property_keys()) == set(made.get_property_keys())
        for key in made.get_property_keys():
            np.testing.assert_array_equal(found.get_property(key), made.get_property(key))
            assert found.get_property(key).dtype == made.get_property(key).dtype


def test_existing_folder_is_kept_unless_told(sorted_tetrode, tetrode, quick, monkeypatch):
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", no_sorting)
    with pytest.raises(ValueError, match="already exists"):
        run_sorter("huidurep", tetrode[0], folder=sorted_tetrode, **quick)
    assert len(read_sorter_folder(sorted_tetrode).unit_ids) > 0


def test_remove_existing_folder(tetrode, quick, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", one_unit_sorting)
    run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", remove_existing_folder=True, **quick)
    assert not (tmp_path / "out" / "old").exists()


def one_unit_sorting(recording, parameters, folder=None, verbose=False, job_kwargs=None):
    return NumpySorting.from_unit_dict([{"0": np.array([5, 90])}], recording.sampling_frequency)


def test_failure_leaves_no_result_and_is_logged(tetrode, quick, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a disk is full")

    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", fail)
    with pytest.raises(SpikeSortingError, match="a disk is full"):
        run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", **quick)
    assert not (tmp_path / "out" / "sorter_output" / "sorting").exists()
    assert "a disk is full" in (tmp_path / "out" / "sorter_output" / "huidurep.log").read_text()
    assert json.loads((tmp_path / "out" / "spikeinterface_log.json").read_text())["error"] is True


def test_logger_is_left_as_it_was(tetrode, quick, tmp_path, monkeypatch):
    logger = logging.getLogger("huidurep_sorter")
    before = (list(logger.handlers), logger.level)
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", one_unit_sorting)
    run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", **quick)
    assert (list(logger.handlers), logger.level) == before


def test_every_module_of_the_package_reaches_the_log(tmp_path):
    with sorter_module.log_to_file(tmp_path / "a.log"):
        logging.getLogger("huidurep_sorter.templates.matching").info("from far inside")
        logging.getLogger("spikeinterface").warning("of another package")
    text = (tmp_path / "a.log").read_text()
    assert "INFO from far inside" in text and "another" not in text


def test_silent_unless_verbose(tetrode, quick, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", one_unit_sorting)
    run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", **quick)
    assert tuple(capfd.readouterr()) == ("", "")
    run_sorter("huidurep", tetrode[0], folder=tmp_path / "out2", verbose=True, **quick)
    assert "device: cpu" in capfd.readouterr().err.replace("cuda", "cpu").replace("mps", "cpu")


# Parameters


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("detect_threshold", -1, "detect_threshold"),
        ("peak_sign", "negative", "peak_sign"),
        ("clustering_method", "kmeans", "clustering_method"),
        ("freq_min", 7000.0, "freq_min"),
        ("torch_device", "tpu9", "torch_device"),
        ("freq_min", 0.5, "freq_min"),
        ("weights", 3, "weights"),
        ("torch_device", None, "torch_device"),
        ("batch_size", float("inf"), "batch_size"),
        ("seed", np.array([1]), "seed"),
        ("detect_threshold", object(), "detect_threshold"),
        ("join_fragments", False, "'min_merge_probability' decides in its place"),
        ("merge_max_difference", 0.3, "'min_merge_probability' decides in its place"),
        ("job_kwargs", {"n_job": 2}, "job_kwargs"),
        ("job_kwargs", 2, "job_kwargs"),
        ("job_kwargs", {"chunk_duration": "abc"}, "chunk_duration"),
        ("job_kwargs", {"n_jobs": 2.5}, "n_jobs"),
        ("weights", "a" * 5000, "weights"),
        ("job_kwargs", {"n_jobs": 2, "mp_context": "x"}, "mp_context"),
        ("no_such_parameter", 2, "no_such_parameter"),
    ],
)
def test_bad_parameter_is_named_before_any_work(tetrode, tmp_path, monkeypatch, name, value, message):
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", no_sorting)
    with pytest.raises(ValueError, match=message):
        run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", **{name: value})


def test_missing_weights_are_named_before_any_work(tetrode, tmp_path, monkeypatch):
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", no_sorting)
    with pytest.raises(FileNotFoundError, match="no_such_weights"):
        run_sorter("huidurep", tetrode[0], folder=tmp_path / "out", weights="no_such_weights")


def test_numpy_values_and_paths_become_plain(tetrode, tmp_path, monkeypatch):
    """Parameters go through JSON; what is checked is what the sorter reads."""
    seen = {}

    def spy(recording, parameters, **kwargs):
        seen.update(parameters=parameters, **kwargs)
        return one_unit_sorting(recording, parameters)

    monkeypatch.setattr("huidurep_sorter.pipeline.sort_recording", spy)
    run_sorter(
        "huidurep",
        tetrode[0],
        folder=tmp_path / "out",
        features="svd",
        seed=np.int64(7),
        detect_threshold=np.float32(5.5),
        job_kwargs={"n_jobs": np.int64(1)},
    )
    assert seen["parameters"].seed == 7 and isinstance(seen["parameters"].seed, int)
    assert seen["parameters"].detect_threshold == 5.5
    assert seen["job_kwargs"] == {"n_jobs": 1} and seen["verbose"] is False
    assert seen["folder"] == tmp_path / "out" / "sorter_output"


def test_weights_file_becomes_absolute(tetrode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.safetensors").touch()
    monkeypatch.setattr(sorter_module, "check_encoder", lambda parameters: None)
    params = HuidurepSorter.default_params() | {"weights": "mine.safetensors"}
    checked = HuidurepSorter._check_params(tetrode[0], tmp_path, params)
    assert checked["weights"] == str(tmp_path / "mine.safetensors")


# Recordings


def test_by_property(tmp_path, quick):
    first, _ = make_recording(tmp_path / "a", seed=1)
    second, _ = make_recording(tmp_path / "b", seed=2)
    traces = np.concatenate([first.get_traces(), second.get_traces()], axis=1)
    probes = ProbeGroup()
    for shift, recording in ((0.0, first), (1000.0, second)):
        probe = recording.get_probe().copy()
        probe.move([shift, 0.0])
        probes.add_probe(probe)
    probes.set_global_device_channel_indices(np.arange(8))
    both = NumpyRecording([traces], first.sampling_frequency)
    both.set_probegroup(probes)
    both = both.save(folder=tmp_path / "both", verbose=False, progress_bar=False)
    sorting = run_sorter_by_property("huidurep", both, "group", tmp_path / "out", **quick)
    assert set(sorting.get_property("group")) == {0, 1}
    assert (tmp_path / "out" / "0" / "sorter_output" / "sorting").is_dir()


def test_multi_segment(two_segments, quick, tmp_path):
    recording, truth = two_segments
    sorting = run_sorter("huidurep", recording, folder=tmp_path / "out", **quick)
    assert sorting.get_num_segments() == 2
    spikes = sorting.to_spike_vector()
    for segment_index in range(2):
        samples = spikes["sample_index"][spikes["segment_index"] == segment_index]
        assert len(samples) > 20
        assert samples.max() < recording.get_num_samples(segment_index)


@pytest.mark.parametrize("n_segments", [1, 2])
def test_no_spike_gives_an_empty_sorting_and_a_warning(quick, tetrode, tmp_path, capfd, n_segments):
    rng = np.random.default_rng(0)
    noise = NumpyRecording([rng.normal(0, 5, (30_000, 4)).astype("float32") for _ in range(n_segments)], 25000.0)
    noise.set_probe(tetrode[0].get_probe())
    noise = noise.save(folder=tmp_path / "noise", verbose=False, progress_bar=False)
    quick = quick | {"detect_threshold": 50.0}
    sorting = run_sorter("huidurep", noise, folder=tmp_path / "out", **quick)
    assert len(sorting.unit_ids) == 0 and sorting.get_num_segments() == n_segments
    assert "empty" in capfd.readouterr().err
    unit_ids = read_sorter_folder(tmp_path / "out").unit_ids
    assert len(unit_ids) == 0 and unit_ids.dtype.kind in "iU"


def silent(recording, folder, value=0.0):
    """A recording of the same probe whose channels are constant."""
    traces = np.full((recording.get_num_samples(0), recording.get_num_channels()), value, dtype="float32")
    out = NumpyRecording([traces], recording.sampling_frequency, channel_ids=recording.channel_ids)
    out.set_probe(recording.get_probe())
    return out.save(folder=folder, verbose=False, progress_bar=False)


def test_an_unplugged_recording_gives_an_empty_sorting_like_a_full_one(tetrode, quick, tmp_path, capfd):
    recording = silent(tetrode[0], tmp_path / "unplugged")
    empty, full = (
        run_sorter("huidurep", r, folder=tmp_path / name, **quick)
        for name, r in (("empty", recording), ("full", tetrode[0]))
    )
    assert len(empty.unit_ids) == 0 < len(full.unit_ids)
    assert "unplugged" in capfd.readouterr().err
    for found in (empty, read_sorter_folder(tmp_path / "empty")):
        assert set(found.get_property_keys()) == set(full.get_property_keys())
        for key in full.get_property_keys():
            assert found.get_property(key).dtype == full.get_property(key).dtype, key
    together = aggregate_units([full, empty])
    assert len(together.unit_ids) == len(full.unit_ids) and "huidurep_snr" in together.get_property_keys()
    assert together.unit_ids.dtype.kind in "iU"  # what SpikeInterface's comparisons take


def test_a_batch_gets_past_a_recording_that_cannot_be_sorted(tetrode, quick, tmp_path):
    recordings = {"short": tetrode[0].frame_slice(0, 5000), "good": tetrode[0]}
    jobs = [
        dict(sorter_name="huidurep", recording=r, folder=tmp_path / name, raise_error=False, **quick)
        for name, r in recordings.items()
    ]
    run_sorter_jobs(jobs, engine="loop", return_output=False)
    assert "too short" in (tmp_path / "short" / "spikeinterface_log.json").read_text()
    assert len(read_sorter_folder(tmp_path / "good").unit_ids) > 0


def test_silent_last_segment_is_kept(tetrode, quick, tmp_path, monkeypatch):
    monkeypatch.setattr("huidurep_sorter.pipeline.sort_segment", one_unit_sorting)
    recording = append_recordings([tetrode[0]] * 3)
    sorting = run_sorter("huidurep", recording, folder=tmp_path / "out", **quick)
    counts = [len(sorting.get_unit_spike_train("0", segment_index=s)) for s in range(3)]
    assert counts == [2, 0, 0]


@pytest.mark.parametrize("axes", ["xz", "yz"])
def test_a_probe_in_another_plane_than_xy_is_sorted(tetrode, tmp_path, monkeypatch, axes):
    """SpikeInterface compares places in x and y, where those of such a probe are the same."""
    seen = []
    monkeypatch.setattr(
        "huidurep_sorter.pipeline.sort_recording", lambda r, *a, **k: seen.append(r) or one_unit_sorting(r, a)
    )
    probe = tetrode[0].get_probe().to_3d(axes=axes)
    recording = NumpyRecording([tetrode[0].get_traces()], tetrode[0].sampling_frequency)
    recording.set_probe(probe)
    saved = recording.save(folder=tmp_path / "recording", verbose=False, progress_bar=False)
    run_sorter("huidurep", saved, folder=tmp_path / "out", features="svd")
    np.testing.assert_array_equal(seen[0].get_channel_locations(), tetrode[0].get_channel_locations())
    np.testing.assert_array_equal(seen[0].get_traces(), saved.get_traces())
    assert saved.has_3d_probe()


def test_no_probe(tmp_path):
    bare = NumpyRecording([np.zeros((30_000, 4), dtype="float32")], 25000.0)
    with pytest.raises(RuntimeError, match="Channel locations are required"):
        run_sorter("huidurep", bare, folder=tmp_path / "out")
