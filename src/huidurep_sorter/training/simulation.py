"""Recordings whose spikes are known, from footprints and probes: units, small background units, noise, drift."""

from dataclasses import dataclass

import numpy as np
from probeinterface import Probe, ProbeGroup, generate_linear_probe, generate_multi_columns_probe, generate_tetrode

from huidurep_sorter.training.footprints import mix, project, slow, template_samples, turn, vary

DRIFT_STEP_UM = 1.5
REACH_UM = 200.0  # beyond this a unit isn't projected


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """What the simulated recordings are like; a pair is a range from which each recording draws."""

    n_recordings: int = 80
    duration_s: float = 40.0
    n_channels: int = 64
    um_per_unit: tuple = (12.0, 22.0)  # a unit for so much of the probe's length
    background_per_unit: float = 2.0
    snr_median: tuple = (5.5, 10.0)
    rate_hz: tuple = (3.0, 9.0)
    drift_probability: float = 0.65
    drift_um: tuple = (4.0, 25.0)
    noise_uv: float = 10.0
    mix_probability: float = 0.0  # that a neuron lies between two footprints
    turn_rad: float = 0.0  # standard deviation of the angle by which footprints are turned
    slowing: float = 0.0  # standard deviation of the logarithm by which the course after the trough is slowed


@dataclass(frozen=True, kw_only=True)
class SimulatedRecording:
    """A recording, its spikes and the bank of templates that made them.

    Attributes
    ----------
    recording : NumpyRecording
    spikes : structured array
        `sample_index`, `unit_index`, `step` (of the drift), `amplitude`.
    templates : (n_units, n_steps, n_samples, n_channels) float32
        In the recording's unit, without sub-sample delay.
    n_before : int
    """

    recording: object
    spikes: np.ndarray
    templates: np.ndarray
    n_before: int


def random_probe(rng, n_channels):
    """A probe of one of the common kinds, with pitches that vary, as a ProbeGroup of shanks."""
    kind = rng.choice(["two columns", "four columns", "linear", "tetrodes", "square"], p=[0.35, 0.25, 0.14, 0.14, 0.12])
    stretch = rng.uniform(0.9, 1.1)
    if kind == "two columns":
        x, y = rng.choice([[32, 15], [32, 20], [20, 25], [16, 20]])
        probe = generate_multi_columns_probe(2, [n_channels // 2] * 2, xpitch=x * stretch, ypitch=y * stretch)
    elif kind == "four columns":
        probe = generate_multi_columns_probe(
            4, [n_channels // 4] * 4, xpitch=16 * stretch, ypitch=40 * stretch, y_shift_per_column=[20 * stretch, 0] * 2
        )
    elif kind == "square":
        pitch = rng.uniform(15, 40)
        probe = generate_multi_columns_probe(8, [n_channels // 8] * 8, xpitch=pitch, ypitch=pitch)
    elif kind == "linear":
        probe = generate_linear_probe(n_channels // 2, ypitch=rng.uniform(18, 50))
    else:
        return _tetrodes(rng, 7), kind
    return _group([probe]), kind


def simulate(footprints, config: SimulationConfig, seed, sampling_frequency=30000.0) -> SimulatedRecording:
    """Simulate one recording from footprints that vary; same seed, same recording."""
    from spikeinterface.core import NumpyRecording

    rng = np.random.default_rng(seed)
    probes, kind = random_probe(rng, config.n_channels)
    contacts = np.vstack([p.contact_positions for p in probes.probes])
    n_samples = int(config.duration_s * sampling_frequency)
    traces = make_noise(n_samples, contacts, config.noise_uv, sampling_frequency, rng)
    steps_um, step_of_time = _drift(config, rng)

    soma = _place_units(contacts, kind, config, rng)
    n_units = len(soma)
    n_background = int(config.background_per_unit * n_units)
    soma = np.vstack([soma, soma[rng.integers(n_units, size=n_background)] + rng.normal(0, 40, (n_background, 2))])
    snr = np.exp(rng.normal(np.log(rng.uniform(*config.snr_median)), 0.45, n_units)).clip(3.5, 30)
    snr = np.concatenate([snr, rng.uniform(1.0, 3.3, n_background)])
    rates = np.exp(rng.normal(np.log(rng.uniform(*config.rate_hz)), 0.5, len(soma))).clip(1.0, 20.0)

    n_before, _ = template_samples(sampling_frequency)
    spikes, bank = [], []
    for unit in range(len(soma)):
        footprint = vary(_draw_footprint(footprints, config, rng), rng)
        templates, near = _templates(footprint, contacts - soma[unit], steps_um, sampling_frequency)
        templates *= snr[unit] * config.noise_uv / max(-templates.min(axis=(1, 3)).min(axis=1).mean(), 1e-6)
        own = _fire(unit, rates[unit], config.duration_s, sampling_frequency, step_of_time, rng)
        quarter = rng.integers(4, size=own.size)
        _inject(traces, own, quarter, templates, near, n_before)
        if unit < n_units:
            spikes.append(own)
            dense = np.zeros((*templates.shape[:2], len(contacts)), dtype="float32")
            dense[:, :, near] = templates[..., 0]
            bank.append(dense)
    recording = NumpyRecording([traces], sampling_frequency)
    recording.set_probegroup(probes, group_mode="by_probe")
    spikes = np.concatenate(spikes)
    return SimulatedRecording(
        recording=recording,
        spikes=spikes[np.argsort(spikes["sample_index"], kind="stable")],
        templates=np.stack(bank),
        n_before=n_before,
    )


def _draw_footprint(footprints, config, rng):
    footprint = footprints[rng.integers(len(footprints))]
    if config.mix_probability and rng.random() < config.mix_probability:
        footprint = mix(footprint, footprints[rng.integers(len(footprints))], rng.uniform(0.3, 1.0))
    if config.turn_rad:
        footprint = turn(footprint, rng.normal(0, config.turn_rad))
    if config.slowing:
        footprint = slow(footprint, np.exp(rng.normal(0, config.slowing)))
    return footprint


def make_noise(n_samples, contacts, noise_uv, sampling_frequency, rng):
    """Gaussian noise with a falling spectrum, in part shared by neighbours; (n_samples, n_channels) float32."""
    corner_hz, slope = rng.uniform(1500, 5000), rng.uniform(0.6, 1.2)
    reach_um, shared = rng.uniform(20, 80), rng.uniform(0.2, 0.7)
    frequency = np.fft.rfftfreq(n_samples, 1 / sampling_frequency)
    gain = (1 / (1 + (frequency / corner_hz) ** 2) ** (slope / 2)).astype("float32")
    distance = np.linalg.norm(contacts[:, None] - contacts[None], axis=2)
    values, vectors = np.linalg.eigh(shared * np.exp(-distance / reach_um) + (1 - shared) * np.eye(len(contacts)))
    mixing = (vectors * np.sqrt(values.clip(0))).T.astype("float32")
    out = np.empty((n_samples, len(contacts)), dtype="float32")
    for channel in range(len(contacts)):
        white = rng.standard_normal(n_samples, dtype="float32")
        coloured = np.fft.irfft(np.fft.rfft(white) * gain, n_samples)
        out[:, channel] = coloured
    in_band = (frequency > 300) & (frequency < 6000)
    out *= noise_uv / np.sqrt(np.mean(gain[in_band] ** 2) * in_band.mean())
    return out @ mixing


def _tetrodes(rng, n):
    r = rng.uniform(9, 22)
    tetrodes = []
    for i in range(n):
        tetrode = generate_tetrode(r=r)
        tetrode.move([300.0 * i, 0.0])
        tetrodes.append(tetrode)
    return _group(tetrodes)


def _group(probes):
    """Probes without contact shapes (they don't matter here), wired in order."""
    group = ProbeGroup()
    for probe in probes:
        bare = Probe(ndim=2, si_units="um")
        bare.set_contacts(positions=probe.contact_positions)
        group.add_probe(bare)
    group.set_global_device_channel_indices(np.arange(group.get_contact_count()))
    return group


def _place_units(contacts, kind, config, rng):
    if kind == "tetrodes":
        near = contacts[rng.integers(len(contacts), size=6 * len(contacts) // 4)]
        return near + rng.normal(0, 15, near.shape)
    n = int(np.ptp(contacts[:, 1]) / rng.uniform(*config.um_per_unit))
    n = min(n, len(contacts))
    return rng.uniform(contacts.min(axis=0) - [8, 8], contacts.max(axis=0) + [8, 8], (n, 2))


def _drift(config, rng, per_s=10):
    """Displacements that occur, (n_steps,), and which of them at each tenth of a second."""
    t = np.arange(int(config.duration_s * per_s) + 1) / config.duration_s / per_s
    if rng.random() > config.drift_probability:
        moved = np.zeros_like(t)
    else:
        kind = rng.integers(3)
        ramp = 2 * np.abs(2 * ((t * rng.uniform(0.5, 2) + rng.random()) % 1) - 1) - 1
        walk = np.cumsum(rng.normal(size=t.size))
        jumps = np.cumsum(np.where(rng.random(t.size) < 6 / t.size, rng.normal(size=t.size), 0.0))
        moved = [ramp, walk, jumps][kind]
        moved = (moved - moved.mean()) / max(np.abs(moved - moved.mean()).max(), 1e-9) * rng.uniform(*config.drift_um)
    level = np.round(moved / DRIFT_STEP_UM).astype(int)
    levels, step_of_time = np.unique(level, return_inverse=True)
    return levels * DRIFT_STEP_UM, step_of_time


def _templates(footprint, points, steps_um, sampling_frequency):
    """Templates (n_steps, n_samples, n_near, 4) on the contacts near the unit, and which contacts these are."""
    near = np.flatnonzero(np.linalg.norm(points, axis=1) < REACH_UM)
    moved = points[near][None] - np.column_stack([0 * steps_um, steps_um])[:, None]
    out = project(footprint, moved.reshape(-1, 2), sampling_frequency)
    return out.reshape(len(steps_um), near.size, *out.shape[1:]).transpose(0, 2, 1, 3).copy(), near


def _fire(unit, rate_hz, duration_s, sampling_frequency, step_of_time, rng, refractory_s=0.0025):
    n = int(2 * duration_s * rate_hz) + 20
    intervals = refractory_s + rng.gamma(0.8, max(1 / rate_hz - refractory_s, 1e-3) / 0.8, n)
    times = np.cumsum(intervals)
    times = times[(times > 0.02) & (times < duration_s - 0.02)]
    dtype = [("sample_index", "int64"), ("unit_index", "int64"), ("step", "int64"), ("amplitude", "float32")]
    spikes = np.zeros(times.size, dtype=dtype)
    spikes["sample_index"] = (times * sampling_frequency).astype("int64")
    spikes["unit_index"] = unit
    spikes["step"] = step_of_time[(times * 10).astype(int)]
    amplitude = rng.normal(1.0, 0.07, times.size)
    if rng.random() < 0.3:
        amplitude *= 1 - rng.uniform(0.15, 0.4) * np.exp(-np.diff(times, prepend=-1.0) / 0.012)
    spikes["amplitude"] = amplitude.clip(0.4, 1.5)
    return spikes


def _inject(traces, spikes, quarter, templates, near, n_before):
    starts = spikes["sample_index"] - n_before
    for start, step, delay, amplitude in zip(starts, spikes["step"], quarter, spikes["amplitude"], strict=True):
        traces[start : start + templates.shape[1], near] += amplitude * templates[step, :, :, delay]
