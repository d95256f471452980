"""Recordings whose spikes are known, from footprints and probes: units, small background units, noise, drift.

The numbers are choices that span what common recordings look like. What was varied in an experiment is in
`SimulationConfig`; the others were chosen once and are the same for all shipped weights. Changing one changes every
recording of a seed.
"""

from dataclasses import dataclass

import numpy as np
from probeinterface import Probe, ProbeGroup, generate_linear_probe, generate_multi_columns_probe, generate_tetrode
from spikeinterface.core import NumpyRecording

from huidurep_sorter.training.footprints import N_DELAYS, mix, project, slow, template_samples, turn, vary

DRIFT_STEP_UM = 1.5  # um between the positions for which a unit has templates: below what a template shows
REACH_UM = 200.0  # um beyond which a unit isn't projected: it is lost in the noise there
BACKGROUND_SPREAD_UM = 40.0  # um, standard deviation of the distance of a background unit from a unit
SNR_SPREAD = 0.45  # standard deviation of the logarithm, among the units of a recording
SNR_LIMITS = (3.5, 30.0)  # of a unit: smaller ones can't be detected, larger ones are rare
SNR_BACKGROUND = (1.0, 3.3)  # of a background unit: too small to be detected, part of the noise
RATE_SPREAD = 0.5  # standard deviation of the logarithm, among the units of a recording
RATE_LIMITS_HZ = (1.0, 20.0)  # enough spikes in 40 s to learn from, and not most of them of one unit
MIX_SHARE = (0.3, 1.0)  # of the first footprint in a mixed one
PROBE_KINDS = {"two columns": 0.35, "four columns": 0.25, "linear": 0.14, "tetrodes": 0.14, "square": 0.12}  # shares
N_TETRODES = 7  # in a recording of tetrodes
TETRODE_PITCH_UM = 300.0  # um between tetrodes, so far that no unit is seen on two
UNITS_PER_TETRODE = 6
TETRODE_SPREAD_UM = 15.0  # um, standard deviation of the distance of a unit from a contact of a tetrode
EDGE_UM = 8.0  # um beyond the outer contacts where units may lie
N_STEPS_PER_S = 10  # times a second at which the probe's displacement may change
REFRACTORY_S = 0.0025  # s
INTERVAL_SHAPE = 0.8  # of the gamma distribution of intervals: a little more irregular than Poisson
EDGE_S = 0.02  # s at both ends without a spike, so that snippets are whole
AMPLITUDE_SPREAD = 0.07  # standard deviation of a unit's amplitude
AMPLITUDE_LIMITS = (0.4, 1.5)  # of a spike's amplitude over its unit's mean
BURST_PROBABILITY = 0.3  # that a unit's spikes are smaller after a short interval
BURST_LOSS = (0.15, 0.4)  # share of the amplitude that a spike loses after an interval of zero
BURST_S = 0.012  # s over which that recovers to 1/e
NOISE_BAND_HZ = (300.0, 6000.0)  # in which the noise has the wanted size; the usual band of spikes


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """What the simulated recordings are like; a pair is a range from which each recording draws."""

    n_recordings: int = 80
    duration_s: float = 40.0
    n_channels: int = 64
    um_per_unit: tuple = (12.0, 22.0)  # a unit for so much of the probe's length
    background_per_unit: float = 2.0  # small units for each unit
    snr_median: tuple = (5.5, 10.0)  # of the units
    rate_hz: tuple = (3.0, 9.0)  # median of the units
    drift_probability: float = 0.65
    drift_um: tuple = (4.0, 25.0)  # largest displacement
    noise_uv: float = 10.0  # standard deviation within NOISE_BAND_HZ
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
    """Draw a probe of one of the common kinds, with pitches that vary.

    Returns
    -------
    probes : ProbeGroup
        Of shanks.
    kind : str
        One of PROBE_KINDS.
    """
    kind = rng.choice(list(PROBE_KINDS), p=list(PROBE_KINDS.values()))
    stretch = rng.uniform(0.9, 1.1)  # pitches differ by a tenth from the common ones
    if kind == "two columns":
        x, y = rng.choice([[32, 15], [32, 20], [20, 25], [16, 20]])  # um across and along, of common probes
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
        return _tetrodes(rng, N_TETRODES), kind
    return _group([probe]), kind


def simulate(footprints, config: SimulationConfig, seed, sampling_frequency=30000.0) -> SimulatedRecording:
    """Simulate one recording from footprints that vary; same seed, same recording.

    Parameters
    ----------
    footprints : list of Footprint
    config : SimulationConfig
    seed : int or list of int
    sampling_frequency : float
        In Hz.
    """
    rng = np.random.default_rng(seed)
    probes, kind = random_probe(rng, config.n_channels)
    contacts = np.vstack([p.contact_positions for p in probes.probes])
    n_samples = int(config.duration_s * sampling_frequency)
    traces = make_noise(n_samples, contacts, config.noise_uv, sampling_frequency, rng)
    steps_um, step_of_time = _drift(config, rng)

    soma = _place_units(contacts, kind, config, rng)
    n_units = len(soma)
    soma, snr, rates = _add_background(soma, config, rng)
    n_before, _ = template_samples(sampling_frequency)
    spikes, bank = [], []
    for unit in range(len(soma)):
        footprint = vary(_draw_footprint(footprints, config, rng), rng)
        templates, near = _templates(footprint, contacts - soma[unit], steps_um, sampling_frequency)
        trough = -templates.min(axis=(1, 3)).min(axis=1).mean()
        templates *= snr[unit] * config.noise_uv / max(trough, 1e-6)  # 1e-6: against a division by zero
        own = _fire(unit, rates[unit], config.duration_s, sampling_frequency, step_of_time, rng)
        quarter = rng.integers(N_DELAYS, size=own.size)
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


def _add_background(soma, config, rng):
    """Add background units to units, and draw the SNR and the rate of all.

    Returns
    -------
    soma : (n_units + n_background, 2)
    snr, rates : (n_units + n_background,)
    """
    n_units = len(soma)
    n_background = int(config.background_per_unit * n_units)
    near = soma[rng.integers(n_units, size=n_background)]
    soma = np.vstack([soma, near + rng.normal(0, BACKGROUND_SPREAD_UM, (n_background, 2))])
    snr = np.exp(rng.normal(np.log(rng.uniform(*config.snr_median)), SNR_SPREAD, n_units)).clip(*SNR_LIMITS)
    snr = np.concatenate([snr, rng.uniform(*SNR_BACKGROUND, n_background)])
    rates = np.exp(rng.normal(np.log(rng.uniform(*config.rate_hz)), RATE_SPREAD, len(soma))).clip(*RATE_LIMITS_HZ)
    return soma, snr, rates


def _draw_footprint(footprints, config, rng):
    """Draw a footprint, and change it as the configuration says."""
    footprint = footprints[rng.integers(len(footprints))]
    if config.mix_probability and rng.random() < config.mix_probability:
        footprint = mix(footprint, footprints[rng.integers(len(footprints))], rng.uniform(*MIX_SHARE))
    if config.turn_rad:
        footprint = turn(footprint, rng.normal(0, config.turn_rad))
    if config.slowing:
        footprint = slow(footprint, np.exp(rng.normal(0, config.slowing)))
    return footprint


def make_noise(n_samples, contacts, noise_uv, sampling_frequency, rng):
    """Make Gaussian noise with a falling spectrum, in part shared by neighbours; (n_samples, n_channels) float32."""
    corner_hz, slope = rng.uniform(1500, 5000), rng.uniform(0.6, 1.2)  # where the spectrum falls, and how steeply
    reach_um, shared = rng.uniform(20, 80), rng.uniform(0.2, 0.7)  # how far neighbours share noise, and how much of it
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
    in_band = (frequency > NOISE_BAND_HZ[0]) & (frequency < NOISE_BAND_HZ[1])
    out *= noise_uv / np.sqrt(np.mean(gain[in_band] ** 2) * in_band.mean())
    return out @ mixing


def _tetrodes(rng, n):
    """Make a group of n tetrodes of one size."""
    r = rng.uniform(9, 22)  # um from the middle to a contact
    tetrodes = []
    for i in range(n):
        tetrode = generate_tetrode(r=r)
        tetrode.move([TETRODE_PITCH_UM * i, 0.0])
        tetrodes.append(tetrode)
    return _group(tetrodes)


def _group(probes):
    """Group probes without their contacts' shapes, which don't matter here, wired in order."""
    group = ProbeGroup()
    for probe in probes:
        bare = Probe(ndim=2, si_units="um")
        bare.set_contacts(positions=probe.contact_positions)
        group.add_probe(bare)
    group.set_global_device_channel_indices(np.arange(group.get_contact_count()))
    return group


def _place_units(contacts, kind, config, rng):
    """Draw the positions of the units, (n_units, 2)."""
    if kind == "tetrodes":
        near = contacts[rng.integers(len(contacts), size=UNITS_PER_TETRODE * len(contacts) // 4)]
        return near + rng.normal(0, TETRODE_SPREAD_UM, near.shape)
    n = int(np.ptp(contacts[:, 1]) / rng.uniform(*config.um_per_unit))
    n = min(n, len(contacts))
    return rng.uniform(contacts.min(axis=0) - EDGE_UM, contacts.max(axis=0) + EDGE_UM, (n, 2))


def _drift(config, rng):
    """Draw the displacements that occur, (n_steps,) in um, and which of them at each tenth of a second."""
    t = np.arange(int(config.duration_s * N_STEPS_PER_S) + 1) / config.duration_s / N_STEPS_PER_S
    if rng.random() > config.drift_probability:
        moved = np.zeros_like(t)
    else:
        kind = rng.integers(3)
        # One of: half a period to two of a zigzag, a random walk, or about six jumps.
        ramp = 2 * np.abs(2 * ((t * rng.uniform(0.5, 2) + rng.random()) % 1) - 1) - 1
        walk = np.cumsum(rng.normal(size=t.size))
        jumps = np.cumsum(np.where(rng.random(t.size) < 6 / t.size, rng.normal(size=t.size), 0.0))
        moved = [ramp, walk, jumps][kind]
        moved = (moved - moved.mean()) / max(np.abs(moved - moved.mean()).max(), 1e-9) * rng.uniform(*config.drift_um)
    level = np.round(moved / DRIFT_STEP_UM).astype(int)
    levels, step_of_time = np.unique(level, return_inverse=True)
    return levels * DRIFT_STEP_UM, step_of_time


def _templates(footprint, points, steps_um, sampling_frequency):
    """Project a footprint on the contacts near the unit, at each displacement.

    Returns
    -------
    templates : (n_steps, n_samples, n_near, N_DELAYS)
    near : (n_near,)
        Which contacts these are.
    """
    near = np.flatnonzero(np.linalg.norm(points, axis=1) < REACH_UM)
    moved = points[near][None] - np.column_stack([0 * steps_um, steps_um])[:, None]
    out = project(footprint, moved.reshape(-1, 2), sampling_frequency)
    return out.reshape(len(steps_um), near.size, *out.shape[1:]).transpose(0, 2, 1, 3).copy(), near


def _fire(unit, rate_hz, duration_s, sampling_frequency, step_of_time, rng):
    """Draw the spikes of a unit."""
    n = int(2 * duration_s * rate_hz) + 20  # more than will fit into the recording
    mean_s = max(1 / rate_hz - REFRACTORY_S, 1e-3)  # 1 ms: at rates that refractoriness hardly allows
    times = np.cumsum(REFRACTORY_S + rng.gamma(INTERVAL_SHAPE, mean_s / INTERVAL_SHAPE, n))
    times = times[(times > EDGE_S) & (times < duration_s - EDGE_S)]
    dtype = [("sample_index", "int64"), ("unit_index", "int64"), ("step", "int64"), ("amplitude", "float32")]
    spikes = np.zeros(times.size, dtype=dtype)
    spikes["sample_index"] = (times * sampling_frequency).astype("int64")
    spikes["unit_index"] = unit
    spikes["step"] = step_of_time[(times * N_STEPS_PER_S).astype(int)]
    amplitude = rng.normal(1.0, AMPLITUDE_SPREAD, times.size)
    if rng.random() < BURST_PROBABILITY:
        amplitude *= 1 - rng.uniform(*BURST_LOSS) * np.exp(-np.diff(times, prepend=-1.0) / BURST_S)
    spikes["amplitude"] = amplitude.clip(*AMPLITUDE_LIMITS)
    return spikes


def _inject(traces, spikes, quarter, templates, near, n_before):
    """Add a unit's spikes to the traces, in place."""
    starts = spikes["sample_index"] - n_before
    for start, step, delay, amplitude in zip(starts, spikes["step"], quarter, spikes["amplitude"], strict=True):
        traces[start : start + templates.shape[1], near] += amplitude * templates[step, :, :, delay]
