"""How spikes fit their unit: equal to a slow reference; probabilities fall with what speaks against a spike."""

import numpy as np
import pytest

from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.units.spike_probability import (
    RULES,
    SpikeFits,
    fit_spikes,
    have_short_interval,
    spike_probabilities,
)
from tests.known import FS, TEMPLATE, on_four_channels

N_BEFORE = 25


@pytest.fixture(scope="module")
def known():
    """Traces, spikes of two units and their waveforms: every spike of another size, some a sample late."""
    rng = np.random.default_rng(0)
    array = rng.normal(size=(60_000, 4)).astype("float32")
    waveforms = np.zeros((2, 60, 4), dtype="float32")
    waveforms[0, :, 1], waveforms[1, :, 2] = 60 * TEMPLATE[0], 50 * TEMPLATE[1]
    samples, labels = np.arange(100, 59_900, 150), np.arange(100, 59_900, 150) // 150 % 2
    late, scale = rng.integers(-2, 3, len(samples)), rng.uniform(0.4, 1.4, len(samples))
    for sample, label, lag, size in zip(samples, labels, late, scale, strict=True):
        array[sample + lag - N_BEFORE : sample + lag - N_BEFORE + 60] += size * waveforms[label]
    return on_four_channels(array), Spikes.at(samples, 0, labels), waveforms, scale


def test_fits_are_those_of_a_slow_reference(known):
    traces, units, waveforms, scale = known
    fits = fit_spikes(traces, units, waveforms, N_BEFORE, np.array([1, 2]))
    whole = traces.recording.get_traces()
    before, after = min(int(RULES.before_ms * 30), N_BEFORE), min(int(RULES.after_ms * 30), 60 - N_BEFORE)
    for spike in (0, 1, 17, 200, len(units) - 1):
        sample, label = units.sample_index[spike], units.label[spike]
        own = waveforms[label, N_BEFORE - before : N_BEFORE + after]
        pieces = [whole[sample + lag - before : sample + lag + after] for lag in range(-2, 3)]
        piece = max(pieces, key=lambda piece: (piece * own).sum())
        expected = (piece * own).sum() / (own**2).sum()
        assert fits.scale[spike] == pytest.approx(expected, rel=1e-4)
        assert fits.residual[spike] == pytest.approx(((piece - expected * own) ** 2).mean(), rel=1e-3)
        assert fits.amplitude[spike] == abs(whole[sample, [1, 2][label]])
    np.testing.assert_allclose(fits.scale, scale, atol=0.3)


def test_a_spike_that_the_ends_cut_off_has_no_fit(known):
    traces, _, waveforms, _ = known
    ends = Spikes.at(np.array([3, 500, 59_990]), 0, np.array([0, 1, 0]))
    fits = fit_spikes(traces, ends, waveforms, N_BEFORE, np.array([1, 2]))
    np.testing.assert_array_equal(np.isnan(fits.scale), [True, False, True])
    assert np.isfinite(fits.amplitude).all()


def probabilities(scale=1.0, residual=1.0, samples=(1000, 2000), norm=12.0, hit_rate=0.9, violations=0.0):
    units = Spikes.at(np.array(samples), 0, np.zeros(len(samples), dtype="int64"))
    values = dict(amplitude=10.0, scale=scale, residual=residual)
    fits = SpikeFits(**{name: np.full(len(samples), value, dtype="float32") for name, value in values.items()})
    of_unit = (np.array([value]) for value in (norm, hit_rate, violations))
    return spike_probabilities(fits, units, FS, *of_unit)


def test_what_speaks_against_a_spike_makes_it_less_probable():
    good = probabilities()[0]
    assert good > 0.9
    against = (
        dict(scale=0.6),
        dict(residual=2.0),
        dict(samples=(1000, 1040)),
        dict(norm=9.0),
        dict(hit_rate=0.5),
        dict(violations=0.5),
    )
    for what in against:
        assert probabilities(**what)[0] < good - 0.01, what
    assert probabilities(scale=1.3)[0] == pytest.approx(good)  # larger spikes are no worse
    assert np.isnan(probabilities(scale=np.nan)).all()


def test_short_intervals_are_those_within_a_unit():
    units = Spikes.at(np.array([0, 10, 20, 100, 105]), 0, np.array([0, 1, 0, 1, 1]))
    assert have_short_interval(units, 21).tolist() == [True, False, True, True, True]
    assert have_short_interval(units, 20).tolist() == [False, False, False, True, True]
