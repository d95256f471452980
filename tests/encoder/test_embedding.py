import numpy as np
import pytest
from probeinterface import generate_linear_probe
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from spikeinterface.core import (
    NumpyRecording,
    create_sorting_analyzer,
    generate_ground_truth_recording,
    get_template_extremum_channel,
)

from huidurep_sorter import Encoder, embed_spikes, load_encoder
from huidurep_sorter.traces.preprocessing import preprocess

PEAK = [("sample_index", "int64"), ("channel_index", "int64"), ("amplitude", "float64"), ("segment_index", "int64")]


@pytest.fixture(scope="module")
def sorted_truth():
    """20 s on 16 channels, and its spikes as peaks, on the units' main channels."""
    recording, truth = generate_ground_truth_recording(durations=[20.0], num_channels=16, num_units=6, seed=2)
    recording = recording.save(format="memory", progress_bar=False, verbose=False)
    analyzer = create_sorting_analyzer(truth, recording, sparse=False, progress_bar=False)
    analyzer.compute(["random_spikes", "templates"], progress_bar=False)
    main = get_template_extremum_channel(analyzer, outputs="index")
    spikes = truth.to_spike_vector()
    peaks = np.zeros(len(spikes), dtype=PEAK)
    peaks["sample_index"] = spikes["sample_index"]
    peaks["channel_index"] = [main[u] for u in truth.unit_ids[spikes["unit_index"]]]
    return recording, peaks, spikes["unit_index"]


def test_the_shipped_encoder_separates_units_that_it_never_saw(sorted_truth):
    recording, peaks, unit = sorted_truth
    features = embed_spikes(recording, peaks, device="cpu")
    assert features.shape == (len(peaks), 32) and features.dtype == np.float32
    mixture = GaussianMixture(6, random_state=0, n_init=3, reg_covar=1e-4).fit_predict(features)
    assert adjusted_rand_score(unit, mixture) > 0.8


def test_the_order_of_the_peaks_and_the_batch_do_not_matter(sorted_truth):
    recording, peaks, _ = sorted_truth
    recording, encoder = preprocess(recording), load_encoder(device="cpu")
    whole = embed_spikes(recording, peaks, encoder, preprocess=False)
    order = np.random.default_rng(0).permutation(len(peaks))[:50]
    few = embed_spikes(recording, peaks[order], encoder, preprocess=False, batch_size=7)
    np.testing.assert_allclose(few, whole[order], atol=1e-4)
    np.testing.assert_array_equal(embed_spikes(recording, peaks, encoder, preprocess=False), whole)


def test_the_unit_of_the_traces_does_not_matter(sorted_truth):
    recording, peaks, _ = sorted_truth
    traces = recording.get_traces(return_in_uV=False)
    features = embed_spikes(recording, peaks, device="cpu")
    for scaled in ((traces * 5 + 2056).astype("int16"), (traces * 1e-6).astype("float32")):
        other = NumpyRecording([scaled], recording.sampling_frequency)
        other.set_probe(recording.get_probe())
        again = embed_spikes(other, peaks, device="cpu")
        similarity = (features * again).sum(axis=1)
        assert np.median(similarity) > 0.95


@pytest.mark.parametrize("n_channels, sampling_frequency", [(1, 30000.0), (2, 15000.0), (4, 40000.0), (40, 20000.0)])
def test_any_probe_and_sampling_frequency(n_channels, sampling_frequency):
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(30000, n_channels)).astype("float32")
    recording = NumpyRecording([traces, traces], sampling_frequency)
    probe = generate_linear_probe(n_channels)
    probe.set_device_channel_indices(np.arange(n_channels))
    recording.set_probe(probe)
    peaks = np.zeros(6, dtype=PEAK)
    peaks["sample_index"] = [0, 5, 29999, 100, 200, 300]
    peaks["segment_index"] = [0, 1, 1, 0, 1, 0]
    features = embed_spikes(recording, peaks, device="cpu")
    assert features.shape == (6, 32) and np.isfinite(features).all()


def test_peaks_that_are_not_of_the_recording_are_refused(sorted_truth):
    recording, peaks, _ = sorted_truth
    with pytest.raises(ValueError, match="segment_index"):
        embed_spikes(recording, peaks[["sample_index", "channel_index"]], device="cpu")
    for field, value in (("channel_index", 16), ("segment_index", 1), ("sample_index", 10**9)):
        wrong = peaks.copy()
        wrong[field][3] = value
        with pytest.raises(ValueError, match=field):
            embed_spikes(recording, wrong, device="cpu")
    assert embed_spikes(recording, peaks[:0], device="cpu").shape == (0, 32)


def test_an_encoder_is_taken_as_it_is(sorted_truth):
    recording, peaks, _ = sorted_truth
    encoder = load_encoder(device="cpu")
    assert isinstance(encoder, Encoder)
    np.testing.assert_array_equal(embed_spikes(recording, peaks[:5], encoder), embed_spikes(recording, peaks[:5]))
