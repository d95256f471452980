"""The matcher is compared with a slow one of its own definition, and with SpikeInterface's `wobble`."""

import numpy as np
import pytest
from scipy.signal import lfilter, resample
from spikeinterface.core import ChannelSparsity, NumpyRecording, Templates

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.templates import local_matching, matching
from huidurep_sorter.traces.noise import invert_spectrum
from tests.known import FS, traces_of

RULES = local_matching.RULES
N_CHANNELS, N_SAMPLES, N_UNITS = 8, 60, 6
N = int(2 * FS)
KERNELS = [np.ones(1), np.array([-0.05, -0.2, 0.8, -0.2, -0.05])]


@pytest.fixture(scope="module")
def spiking():
    """2 s of noise with spikes of six units, between samples, of several sizes, many of them overlapping."""
    rng = np.random.default_rng(0)
    array = np.zeros((N_UNITS, N_SAMPLES, N_CHANNELS), dtype="float32")
    for unit in range(N_UNITS):
        wave = np.diff(np.exp(-0.5 * ((np.arange(N_SAMPLES + 1) - 24 - unit) / (3.0 + 0.3 * unit)) ** 2))
        for channel in range(unit, unit + 3):
            array[unit, :, channel] = 60 * np.roll(wave, channel) * rng.uniform(0.4, 1.0)
    traces = rng.normal(size=(N, N_CHANNELS)).astype("float32")
    fine = resample(array, 8 * N_SAMPLES, axis=1)
    for unit in range(N_UNITS):
        for start in rng.integers(500, N - 500, 60):
            traces[start : start + N_SAMPLES] += rng.normal(1, 0.1) * fine[unit, rng.integers(8) :: 8][:N_SAMPLES]
    recording = NumpyRecording([traces], FS)
    recording.set_dummy_probe_from_locations([(0.0, 20.0 * channel) for channel in range(N_CHANNELS)])
    return traces_of(recording), templates_of(recording, array)


def templates_of(recording, array):
    dense = Templates(
        array, FS, 24, channel_ids=recording.channel_ids, unit_ids=np.arange(len(array)), probe=recording.get_probe()
    )
    return dense.to_sparse(ChannelSparsity(np.abs(array).max(axis=1) > 0, dense.unit_ids, dense.channel_ids))


def products_slowly(traces, low_rank):
    padded = np.pad(traces, ((N_SAMPLES - 1, N_SAMPLES - 1), (0, 0)))
    return np.array([sum(np.correlate(padded[:, c], t[:, c]) for c in range(N_CHANNELS)) for t in low_rank])


def weigh_slowly(array, kernel):
    """Convolve each channel over time."""
    return np.array([[np.convolve(wave, kernel, "same") for wave in unit.T] for unit in array]).transpose(0, 2, 1)


def peel_slowly(traces, array, kernel, rules=RULES):
    """Match by subtraction from the products themselves, in float64, without any of what makes it fast."""
    array = array.astype("float64")
    kernel = kernel / np.median((array * weigh_slowly(array, kernel)).sum(axis=(1, 2)) / (array**2).sum(axis=(1, 2)))
    energy, before = (array * weigh_slowly(array, kernel)).sum(axis=(1, 2)), N_SAMPLES - 1
    low_rank = local_matching.approximate(array, rules.rank)
    fine, weighed = resample(low_rank, rules.n_shifts * N_SAMPLES, axis=1), weigh_slowly(low_rank, kernel)
    products = products_slowly(traces, weighed)
    gains, spikes = 2 * products - energy[:, None], []
    while True:
        best = gains.max(axis=0)
        peaks = [
            peak
            for peak in range(before + 1, best.size - N_SAMPLES - 1)
            if best[peak] > rules.threshold
            and best[peak] == best[max(peak - before, before) : min(peak + N_SAMPLES, best.size - N_SAMPLES)].max()
        ]
        if not peaks:
            return sorted(spikes)
        taken = []
        for peak in peaks:
            unit, shift, later, scale = int(gains[:, peak].argmax()), 0, 0, 1.0
            if np.isinf(gains[unit, [peak - 4, peak + 4]]).any():
                gains[unit, peak - before : peak + 1] = -np.inf
            else:
                towards = resample(products[unit, peak - 4 : peak + 5], 9 * 8)[28:37] + 1 / rules.scale_variance
                scales = np.maximum(towards / (energy[unit] + 1 / rules.scale_variance), 0)
                place = (2 * scales * towards - scales**2 * (energy[unit] + 1 / rules.scale_variance)).argmax()
                scale, eighths = scales[place], place - 4  # by which the spike is later than the peak
                shift, later = (-eighths) % 8, int(eighths > 0)
            taken.append((peak + later - before, unit, shift, scale))
        for start, unit, shift, scale in taken:
            spike = np.zeros_like(traces, dtype="float64")
            wave = fine[unit, shift :: rules.n_shifts]
            inside = slice(max(start, 0), min(start + N_SAMPLES, len(traces)))
            spike[inside] = wave[inside.start - start : inside.stop - start]
            here = slice(max(start - 100, 0), min(start + 200, len(traces)))
            columns = slice(here.start, here.stop + before)
            common = products_slowly(spike[here], weighed)
            gains[:, columns] -= 2 * common
            products[:, columns] -= scale * common
        for start, unit, *_ in taken:
            around = slice(start + before - rules.refractory_samples + 1, start + before + rules.refractory_samples)
            gains[unit, around] = products[unit, around] = -np.inf
        spikes += [(start, unit) for start, unit, *_ in taken]


def test_products_are_correlations(spiking):
    traces, templates = spiking
    prepared = local_matching.PreparedTemplates.of(templates, KERNELS[0])
    values = traces.recording.get_traces(end_frame=5000)
    slowly = products_slowly(values, local_matching.approximate(templates.get_dense_templates(), RULES.rank))
    np.testing.assert_allclose(local_matching.correlate(values, prepared), slowly, atol=1e-3 * np.abs(slowly).max())


def test_templates_may_be_longer_than_a_block(spiking):
    traces, templates = spiking
    values = traces.recording.get_traces(end_frame=5000)
    usual = local_matching.correlate(values, local_matching.PreparedTemplates.of(templates, KERNELS[0]))
    short = local_matching.PreparedTemplates.of(
        templates, KERNELS[0], local_matching.LocalMatchingRules(block_samples=32)
    )
    np.testing.assert_allclose(local_matching.correlate(values, short), usual, atol=1e-3 * np.abs(usual).max())


@pytest.mark.parametrize("kernel", KERNELS)
def test_spikes_are_those_of_the_slow_reference(spiking, kernel):
    traces, templates = spiking
    values = traces.recording.get_traces(end_frame=15_000)
    prepared = local_matching.PreparedTemplates.of(templates, kernel)
    starts, labels = local_matching.peel(local_matching.correlate(values, prepared), prepared)
    slowly = peel_slowly(values.astype("float64"), templates.get_dense_templates(), kernel)
    assert len(slowly) > 80
    assert sorted(zip(starts.tolist(), labels.tolist(), strict=True)) == slowly


def test_spikes_are_those_of_wobble_but_for_a_sample(spiking):
    """SpikeInterface scales a spike by a value of another place, so a later one beside it may be a sample off."""
    ours, theirs = (
        matching.find_spikes(*spiking, SortingParameters(matching_method=name)) for name in ("local", "wobble")
    )
    same = set(zip(ours["sample_index"], ours["cluster_index"], strict=True)) & set(
        zip(theirs["sample_index"], theirs["cluster_index"], strict=True)
    )
    assert len(ours) == len(theirs) > 250
    assert len(same) > 0.97 * len(ours)
    order = [np.lexsort((spikes["sample_index"], spikes["cluster_index"])) for spikes in (ours, theirs)]
    assert np.abs(ours["sample_index"][order[0]] - theirs["sample_index"][order[1]]).max() <= 1


@pytest.mark.parametrize("n_samples", [3 * N_SAMPLES, 700, 30_000])
def test_noise_has_no_spike(spiking, n_samples):
    _, templates = spiking
    prepared = local_matching.PreparedTemplates.of(templates, KERNELS[0])
    values = np.random.default_rng(1).normal(size=(n_samples, N_CHANNELS)).astype("float32")
    starts, labels = local_matching.peel(local_matching.correlate(values, prepared), prepared)
    assert len(starts) == len(labels) == 0


def test_weighing_frequencies_sets_spikes_off_from_slow_noise(spiking):
    _, templates = spiking
    noise = lfilter([1], [1, -0.8], np.random.default_rng(2).normal(size=(N, N_CHANNELS)), axis=0).astype("float32")
    recording = NumpyRecording([noise], FS)
    d_prime = []
    for kernel in (KERNELS[0], invert_spectrum(recording, np.array([[0, N]]))):
        prepared = local_matching.PreparedTemplates.of(templates, kernel)
        d_prime.append(prepared.energy / local_matching.correlate(noise, prepared).std(axis=1))
    assert (d_prime[1] > 1.04 * d_prime[0]).all() and d_prime[1].mean() > 1.08 * d_prime[0].mean()
