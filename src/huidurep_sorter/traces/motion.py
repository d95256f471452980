"""Motion of the tissue along the probe: measured from the spikes, corrected where it is there and can be."""

import logging

import numpy as np

logger = logging.getLogger("huidurep_sorter")

MIN_CHANNELS = 16
MAX_PITCH_UM = 45.0  # contacts farther apart along the probe can't tell a small motion
MIN_SPAN_UM = 100.0
MIN_PEAKS_PER_SECOND = 20
MAX_PEAKS_PER_SECOND = 2000  # more would tell little, and each must be located
MIN_MOTION_UM = 4.0  # between the 5th and 95th percentile of time
MIN_AGREEMENT = 0.6  # on short probes more is measured by mistake than most tissue moves, but not twice the same
WINDOW_UM = 200.0
BLOCK_CHANNELS = 64
BLOCK_MARGIN_UM = 100.0


def find_motion(recording, peaks, parameters, job_kwargs=None):
    """Measure motion and say what to do about it.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces, in one segment.
    peaks : structured array (n_peaks,)
    parameters : SortingParameters
        `apply_motion_correction` and `seed` are used.
    job_kwargs : dict, optional

    Returns
    -------
    motion : Motion or None
        What to correct, None to leave the recording alone. The reason is in the log.
    """
    choice = parameters.apply_motion_correction
    if choice is False:
        return None
    obstacle = why_not(recording, peaks)
    if obstacle is not None:
        (logger.warning if choice is True else logger.info)("motion is left alone: %s", obstacle)
        return None
    peaks = thin(recording, peaks, parameters.seed)
    locations = locate_peaks(recording, peaks, parameters.seed, job_kwargs)
    motion = measure_motion(recording, peaks, locations)
    extent = motion_extent_um(motion)
    if choice == "auto":
        if extent < MIN_MOTION_UM:
            logger.info("motion is left alone: %.1f um were measured, under %.1f", extent, MIN_MOTION_UM)
            return None
        agreement = agreement_of_halves(recording, peaks, locations, parameters.seed)
        if agreement < MIN_AGREEMENT:
            logger.info(
                "motion is left alone: %.1f um were measured, but two halves of the spikes disagree "
                "(correlation %.2f, under %.2f)",
                extent,
                agreement,
                MIN_AGREEMENT,
            )
            return None
    logger.info("motion is corrected: %.1f um were measured", extent)
    return motion


def why_not(recording, peaks):
    """Why motion can't be measured on this recording; None where it can."""
    if len(recording.get_probes()) > 1:
        return "there are several probes"
    groups = recording.get_channel_groups()
    for shank in np.unique(groups):
        depths = np.sort(recording.get_channel_locations()[groups == shank, 1])
        if depths.size < MIN_CHANNELS or np.ptp(depths) < MIN_SPAN_UM:
            return "the probe has too few contacts along its length"
        if np.diff(depths).max() > MAX_PITCH_UM:
            return f"the contacts are up to {np.diff(depths).max():.0f} um apart along the probe"
    rate = len(peaks) / recording.get_total_duration()
    if rate < MIN_PEAKS_PER_SECOND:
        return f"{rate:.1f} peaks a second are too few to measure it with"
    return None


def thin(recording, peaks, seed=0):
    """As many peaks as motion is measured with, in order of time, drawn at random where there are more."""
    from spikeinterface.sortingcomponents.peak_selection import select_peaks

    most = int(MAX_PEAKS_PER_SECOND * recording.get_total_duration())
    if len(peaks) <= most:
        return peaks
    return select_peaks(peaks, method="uniform", n_peaks=most, seed=seed)


def locate_peaks(recording, peaks, seed=0, job_kwargs=None):
    """Position of each peak, by convolution with a grid: finer than a centre of mass.

    Long probes are done block by block, as each spike is convolved over all the channels of its recording.
    """
    from spikeinterface.sortingcomponents.peak_localization import localize_peaks

    depths = recording.get_channel_locations()[:, 1]
    n_blocks = max(1, round(len(depths) / BLOCK_CHANNELS))
    indices, locations = [], []
    for channels in np.array_split(np.argsort(depths, kind="stable"), n_blocks):
        mine = np.flatnonzero(np.isin(peaks["channel_index"], channels))
        low, high = depths[channels].min() - BLOCK_MARGIN_UM, depths[channels].max() + BLOCK_MARGIN_UM
        near = np.flatnonzero((depths >= low) & (depths <= high))
        block, own = recording.select_channels(recording.channel_ids[near]), peaks[mine]
        own["channel_index"] = np.searchsorted(near, own["channel_index"])
        if len(own):
            found = localize_peaks(block, own, method="grid_convolution", seed=seed, job_kwargs=job_kwargs or {})
            indices.append(mine)
            locations.append(found)
    return np.concatenate(locations)[np.argsort(np.concatenate(indices))]


def measure_motion(recording, peaks, locations):
    """Motion over time and depth, by DREDge; the shanks of a probe move as one."""
    from spikeinterface.sortingcomponents.motion import estimate_motion

    return estimate_motion(
        recording,
        peaks,
        locations,
        method="dredge_ap",
        direction="y",
        rigid=False,
        win_shape="gaussian",
        win_step_um=WINDOW_UM,
        win_scale_um=WINDOW_UM,
        win_margin_um=None,
    )


def agreement_of_halves(recording, peaks, locations, seed=0):
    """Correlation of the motion that one random half of the peaks shows with what the other half shows, -1 to 1."""
    half = np.random.default_rng(seed).random(len(peaks)) < 0.5
    found = [measure_motion(recording, peaks[h], locations[h]).displacement[0] for h in (half, ~half)]
    n = min(len(displacement) for displacement in found)
    first, second = (displacement[:n] - displacement[:n].mean(axis=0) for displacement in found)
    return float((first * second).sum() / max(np.sqrt((first**2).sum() * (second**2).sum()), 1e-9))


def motion_extent_um(motion):
    """Largest range of the motion over the depths, between the 5th and 95th percentile of time."""
    low, high = np.percentile(motion.displacement[0], [5, 95], axis=0)
    return float((high - low).max())


def interpolate(recording, motion):
    """The recording as if nothing had moved, lazily, by kriging; channels at the ends are extrapolated."""
    from spikeinterface.sortingcomponents.motion import InterpolateMotionRecording

    return InterpolateMotionRecording(
        recording, motion, border_mode="force_extrapolate", spatial_interpolation_method="kriging", sigma_um=20.0, p=2
    )
