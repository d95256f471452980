import numpy as np

from huidurep_sorter.traces.preprocessing import preprocess
from huidurep_sorter.training.known_spikes import at_most, main_channels, peaks_near


def test_at_most_keeps_the_order_and_the_count():
    spikes = np.zeros(30, dtype=[("sample_index", "int64"), ("unit_index", "int64")])
    spikes["sample_index"], spikes["unit_index"] = np.arange(30), np.arange(30) % 3
    spikes = spikes[(spikes["unit_index"] < 2) | (spikes["sample_index"] < 6)]
    kept = at_most(spikes, 4, np.random.default_rng(0))
    assert (np.bincount(kept["unit_index"]) == [4, 4, 2]).all()
    assert (np.diff(kept["sample_index"]) > 0).all()


def test_peaks_lie_on_the_trough_whatever_the_chunks(tetrode, monkeypatch):
    recording, truth = tetrode
    recording, spikes = preprocess(recording), truth.to_spike_vector()
    main = main_channels(recording, spikes, len(truth.unit_ids))[spikes["unit_index"]]
    late = spikes["sample_index"] + 3
    own = np.ones(len(spikes), dtype=bool)
    peaks = peaks_near(recording, late, main, own)
    traces = recording.get_traces()
    for peak, sample in list(zip(peaks, late, strict=True))[:50]:
        around = traces[max(sample - 4, 0) : sample + 5]
        assert abs(peak["sample_index"] - sample) <= 4
        assert traces[peak["sample_index"], peak["channel_index"]] == around.min()
    np.testing.assert_array_equal(peaks_near(recording, late, main, ~own)["channel_index"], main)
    monkeypatch.setattr("huidurep_sorter.training.known_spikes.CHUNK_SIZE", 5000)
    np.testing.assert_array_equal(peaks_near(recording, late, main, own), peaks)
