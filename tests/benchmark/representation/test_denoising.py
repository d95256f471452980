import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.benchmark.representation.denoising import (
    DENOISING_NAMES,
    denoising_scores,
    gain_db,
    true_templates,
)
from huidurep_sorter.benchmark.representation.known_spikes import KnownSpikes
from huidurep_sorter.encoder.network import Encoder, EncoderConfig, HuiduRep
from huidurep_sorter.traces.snippets import Window, find_neighbourhoods
from huidurep_sorter.training.known_spikes import PEAK_DTYPE

N_PER_UNIT = 130
SHAPE = np.sin(np.linspace(0, 2 * np.pi, 21))[:, None] * np.array([[0.2, 1.0, 0.5, 0.1]])


def make_known(noise=0.0, lag=0):
    """Two units on 4 channels, of opposite sign and other channels; the peak is found `lag` samples late."""
    rng = np.random.default_rng(0)
    sample = 300 + 60 * np.arange(2 * N_PER_UNIT)
    unit = np.tile([0, 1], N_PER_UNIT)
    traces = noise * rng.normal(size=(sample[-1] + 400, 4)).astype("float32")
    for t, u in zip(sample, unit, strict=True):
        traces[t - 10 : t + 11] += 8 * SHAPE if u == 0 else -5 * SHAPE[:, ::-1]
    recording = NumpyRecording([traces.astype("float32")], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    peaks = np.zeros(len(unit), dtype=PEAK_DTYPE)
    peaks["sample_index"], peaks["channel_index"] = sample + lag, 1 + unit
    return KnownSpikes(
        recording=recording,
        peaks=peaks,
        sample_index=sample,
        unit=unit,
        unit_ids=np.array(["a", "b"]),
        location_um=np.zeros((len(unit), 2)),
        snr=np.where(unit == 0, 8.0, 5.0),
        collides=np.arange(len(unit)) % 10 == 0,
    )


def small_encoder(**changes):
    config = EncoderConfig(d_model=16, d_feedforward=16, n_layers=1, n_decoder_layers=1, **changes)
    return Encoder(HuiduRep(config), "cpu", name="small")


def test_gain_on_errors_that_are_known():
    template = np.zeros((3, 4, 2))
    snippets, reconstructions = template + 1.0, template + np.array([1.0, 0.1, 0.01])[:, None, None]
    both = np.ones((3, 2), dtype=bool)
    np.testing.assert_allclose(gain_db(snippets, reconstructions, template, both), [0.0, 20.0, 40.0], atol=1e-9)


def test_channels_that_do_not_exist_do_not_count():
    template = np.zeros((1, 4, 2))
    reconstruction = np.stack([np.full(4, 0.1), np.full(4, 100.0)], axis=1)[None]
    assert gain_db(template + 1.0, reconstruction, template, np.array([[True, False]]))[0] == pytest.approx(20.0)


def test_a_template_is_the_shape_that_was_put_in():
    window = Window(n_samples=41, n_before=20, sampling_frequency=30000.0)
    for lag in (0, 3):
        known = make_known(lag=lag)
        around = find_neighbourhoods(known.recording, 4)
        templates = true_templates(known, np.array([0, 1, 150]), window, around)
        cut = slice(10 - lag, 31 - lag)
        np.testing.assert_allclose(templates[0][cut], (8 * SHAPE)[:, around.channel_indices[1]], atol=1e-5)
        np.testing.assert_allclose(templates[1][cut], (-5 * SHAPE[:, ::-1])[:, around.channel_indices[2]], atol=1e-5)
        np.testing.assert_allclose(templates[2], templates[0], atol=1e-5)


def test_templates_equal_a_slow_reference_that_leaves_the_spike_out():
    known = make_known(noise=1.0)
    known.peaks["channel_index"][::14] = 0  # some spikes of unit 0 were largest elsewhere
    window = Window(n_samples=31, n_before=10, sampling_frequency=30000.0)
    around = find_neighbourhoods(known.recording, 3)
    traces, chosen = known.recording.get_traces(), np.array([7, 62, 256])
    for spike, template in zip(chosen, true_templates(known, chosen, window, around), strict=True):
        channel = known.peaks["channel_index"][spike]
        others = [
            t
            for i, t in enumerate(known.sample_index)
            if i != spike and known.unit[i] == known.unit[spike] and known.peaks["channel_index"][i] == channel
        ]
        others = sorted(others, key=lambda t: abs(t - known.sample_index[spike]))[:100]
        expected = np.mean([traces[t - 10 : t + 21][:, around.channel_indices[channel]] for t in others], axis=0)
        np.testing.assert_allclose(template, expected, atol=1e-4)


def test_too_few_other_spikes_make_no_template():
    known = make_known()
    few = known.take(np.arange(40))  # 20 of each unit, so 19 others
    window = Window(n_samples=31, n_before=10, sampling_frequency=30000.0)
    assert np.isnan(true_templates(few, np.arange(4), window, find_neighbourhoods(few.recording, 3))).all()


def test_scores_follow_what_the_encoder_gives_back():
    class Perfect(Encoder):
        def denoise(self, snippets, batch_size=None, *, offsets_um=None):
            assert offsets_um.shape == (len(snippets), 4, 2)
            return true_templates(known, np.arange(len(known.unit)), self.config.window, around) + 0.1

    known = make_known(noise=1.0)
    encoder = small_encoder(n_channels=4, n_features=3, geometry=True)
    around = find_neighbourhoods(known.recording, 4)
    everything = np.arange(len(known.unit))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huidurep_sorter.benchmark.representation.denoising.SPIKES_PER_UNIT", N_PER_UNIT)
        scores = denoising_scores(known, everything, Perfect(encoder.model, "cpu"))
    perfect, by_pca, by_zeros = scores["encoder"], scores["pca"], scores["zeros"]
    assert list(perfect) == DENOISING_NAMES
    for name in ("denoising, SNR 4 to 6", "denoising, SNR 6 to 10", "denoising, collisions"):
        assert perfect[name] == pytest.approx(20.0, abs=0.3)  # noise of 1 before, an error of 0.1 after
        assert 5.0 < by_pca[name] < 19.0
    assert np.isnan(perfect["denoising, SNR above 10"])
    noise, spike = 121 * 4, (8**2 + 5**2) * (SHAPE**2).sum()  # the other unit's next spike is in the snippet
    assert by_zeros["denoising, SNR 6 to 10"] == pytest.approx(10 * np.log10(noise / spike), abs=0.3)


def test_an_encoder_without_a_decoder_is_left_out():
    encoder = Encoder(HuiduRep(EncoderConfig(d_model=16, d_feedforward=16, n_layers=1, n_decoder_layers=0)), "cpu")
    scores = denoising_scores(make_known(), np.arange(100), encoder)
    assert list(scores) == ["encoder"]
    assert np.isnan(list(scores["encoder"].values())).all()
