"""Motion of the tissue along the probe: measured from the spikes, corrected where it is there and can be."""

import logging
import warnings
from dataclasses import dataclass

import numpy as np
from spikeinterface.core import ms_to_samples
from spikeinterface.core.node_pipeline import PeakRetriever, run_node_pipeline
from spikeinterface.sortingcomponents.motion import estimate_motion
from spikeinterface.sortingcomponents.peak_selection import select_peaks
from spikeinterface.sortingcomponents.tools import get_prototype_and_waveforms_from_peaks

from huidurep_sorter.runtime import stage
from huidurep_sorter.traces.localization import LocateOnGrid, make_sources
from huidurep_sorter.traces.periods import take_spread
from huidurep_sorter.traces.traces import Traces

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MotionRules:
    """When motion can be measured, when it is corrected, and how."""

    min_channels: int = 16  # channels of a shank; under it nothing was gained or lost (traces-12)
    min_span_um: float = 100.0  # um along the probe (traces-12)
    max_pitch_um: float = 45.0  # um between contacts along the probe (traces-20: nothing supports it)
    min_peaks_per_second: float = 20.0  # a limit: under it a bin of DREDge, 1 s, holds too few
    max_peaks_per_second: float = 2000.0  # more tell little, and each must be located (traces-14)
    min_motion_um: float = 4.0  # um, from the 5th to the 95th percentile of time (traces-4, traces-8)
    min_agreement: float = 0.6  # correlation; short probes show what isn't there (traces-9, traces-13, traces-18)
    max_bins: int = 900  # of time, a limit of memory and time: 1 s each up to 15 minutes (traces-37)
    window_um: float = 200.0  # um; step and width of the windows that may move by themselves (traces-18)
    seconds_of_prototype: int = 20  # of the recording, from which the prototype of a spike is learned; a limit of time
    prototype_ms_before: float = 0.5  # ms of it before its peak; SpikeInterface's default
    prototype_ms_after: float = 0.5  # ms after it; SpikeInterface's default


RULES = MotionRules()


@stage("motion")
def find_motion(traces: Traces, peaks, parameters):
    """Measure motion and say what to do about it.

    Parameters
    ----------
    traces : Traces
    peaks : structured array (n_peaks,)
        SpikeInterface's peak vector.
    parameters : SortingParameters
        `apply_motion_correction` and `seed` are used.

    Returns
    -------
    motion : Motion or None
        What to correct, None to leave the recording alone. The reason is in the log.
    """
    choice = parameters.apply_motion_correction
    if choice is False:
        return None
    obstacle = find_obstacle(traces, peaks)
    if obstacle is not None:
        (logger.warning if choice is True else logger.info)("motion is left alone: %s", obstacle)
        return None
    bin_s = seconds_of_a_bin(traces)
    peaks = thin_out(traces, peaks, bin_s, parameters.seed)
    locations = locate_peaks(traces, peaks, parameters.seed)
    motion = measure_motion(traces.recording, peaks, locations, bin_s)
    extent = motion_extent_um(motion)
    reason = None if choice is True else find_doubt(traces, peaks, locations, extent, bin_s, parameters.seed)
    if reason is not None:
        logger.info("motion is left alone: %.1f um were measured, %s", extent, reason)
        return None
    logger.info("motion is corrected: %.1f um were measured", extent)
    return motion


def find_obstacle(traces, peaks):
    """Say why motion can't be measured on this recording; None where it can."""
    if len(traces.recording.get_probes()) > 1:
        return "there are several probes"
    for shank in np.unique(traces.shanks):
        depths = np.sort(traces.locations_um[traces.shanks == shank, 1])
        if depths.size < RULES.min_channels or np.ptp(depths) < RULES.min_span_um:
            return "the probe has too few contacts along its length"
        if np.diff(depths).max() > RULES.max_pitch_um:
            return f"the contacts are up to {np.diff(depths).max():.0f} um apart along the probe"
    rate = len(peaks) / traces.duration_s
    if rate < RULES.min_peaks_per_second:
        return f"{rate:.1f} peaks a second are too few to measure it with"
    return None


def seconds_of_a_bin(traces):
    """Give the seconds of a bin in which motion is measured: DREDge compares all of them, and holds all comparisons."""
    return int(np.ceil(traces.n_samples / traces.sampling_frequency / RULES.max_bins))


def find_doubt(traces, peaks, locations, extent_um, bin_s=1, seed=0):
    """Say why measured motion should be left alone all the same; None where it should be corrected."""
    if extent_um < RULES.min_motion_um:
        return f"under {RULES.min_motion_um:.1f}"
    agreement = split_half_correlation(traces.recording, peaks, locations, bin_s, seed)
    if agreement < RULES.min_agreement:
        return f"but two halves of the spikes disagree (correlation {agreement:.2f}, under {RULES.min_agreement:.2f})"
    return None


def thin_out(traces, peaks, bin_s=1, seed=0):
    """Draw as many peaks at random as motion is measured with, in order of time: of the middle second of each bin."""
    peaks = peaks[peaks["sample_index"] // int(traces.sampling_frequency) % bin_s == bin_s // 2]
    most = int(RULES.max_peaks_per_second * traces.duration_s / bin_s)
    if len(peaks) <= most:
        return peaks
    return select_peaks(peaks, method="uniform", n_peaks=most, seed=seed)


def locate_peaks(traces, peaks, seed=0):
    """Locate each peak by convolution with a grid, which is finer than a centre of mass (traces-3).

    Returns
    -------
    locations : structured array (n_peaks,)
        `x` and `y` in um.
    """
    job_kwargs = traces.job_kwargs | dict(progress_bar=False)
    prototype, _, _ = get_prototype_and_waveforms_from_peaks(
        traces.recording,
        peaks[are_for_prototype(traces, peaks)],
        ms_before=RULES.prototype_ms_before,
        ms_after=RULES.prototype_ms_after,
        seed=seed,
        job_kwargs=job_kwargs,
    )
    source = PeakRetriever(traces.recording, peaks)
    sources = make_sources(traces.locations_um, np.unique(peaks["channel_index"]))
    n_before = ms_to_samples(RULES.prototype_ms_before, traces.sampling_frequency)
    nodes = [source, LocateOnGrid(traces.recording, [source], sources, prototype, n_before)]
    return run_node_pipeline(traces.recording, nodes, traces.job_kwargs, job_name="locate peaks")


def are_for_prototype(traces, peaks):
    """Say which peaks a prototype spike is learned from, (n_peaks,) bool: those of some seconds over the recording."""
    second = peaks["sample_index"] // int(traces.sampling_frequency)
    seconds = np.unique(second)
    return np.isin(second, take_spread(seconds, RULES.seconds_of_prototype))


def measure_motion(recording, peaks, locations, bin_s=1):
    """Measure motion over time and depth, by DREDge; the shanks of a probe move as one (traces-10)."""
    with warnings.catch_warnings():  # nobody can do anything about a probe that is shorter than two windows
        warnings.filterwarnings("ignore", "You are trying to estimate motion")
        return estimate_motion(
            recording,
            peaks,
            locations,
            method="dredge_ap",
            direction="y",
            rigid=False,
            bin_s=float(bin_s),
            win_shape="gaussian",
            win_step_um=RULES.window_um,
            win_scale_um=RULES.window_um,
            win_margin_um=None,
        )


def split_half_correlation(recording, peaks, locations, bin_s=1, seed=0):
    """Correlate the motion that one random half of the peaks shows with what the other half shows, -1 to 1."""
    half = np.random.default_rng(seed).random(len(peaks)) < 0.5
    found = [measure_motion(recording, peaks[h], locations[h], bin_s).displacement[0] for h in (half, ~half)]
    n = min(len(displacement) for displacement in found)
    first, second = (displacement[:n] - displacement[:n].mean(axis=0) for displacement in found)
    return float((first * second).sum() / max(np.sqrt((first**2).sum() * (second**2).sum()), 1e-9))


def motion_extent_um(motion):
    """Give the largest range of the motion over the depths, between the 5th and 95th percentile of time."""
    low, high = np.percentile(motion.displacement[0], [5, 95], axis=0)
    return float((high - low).max())
