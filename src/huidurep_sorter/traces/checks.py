"""Is this recording sortable? Errors before any work; dead channels left out, 3-D probes laid flat."""

import logging
from dataclasses import dataclass

import numpy as np

from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.traces.probe import flat_locations, flatten_probe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RecordingLimits:
    """What a recording must have to be sorted, and how much of it is looked at before. Limits, not decisions."""

    min_duration_s: float = 1.0  # s, of all segments together; less holds too few spikes to cluster
    min_segment_duration_s: float = 0.05  # s; filters and noise estimates need so much
    max_sampled_chunks: int = 20  # a segment; enough to see a channel that is dead or not finite from start to end
    sampled_chunk_s: float = 0.1  # s; longer than any hum's period
    min_sampling_frequency: float = 5000.0  # Hz; slower recordings are LFP: a spike would have under five samples
    min_finite: float = 0.5  # of a channel's values; with fewer it is the channel that is broken, not a moment
    max_constant: float = 0.5  # of the chunks in which a channel may be constant; with more its noise would be zero
    max_freq_min: float = 0.4  # of the sampling frequency; above it the pass band would be nearly empty


LIMITS = RecordingLimits()


def check_recording(recording, parameters):
    """Raise where a recording can't be sorted with these parameters.

    Values are sampled in up to 20 chunks of 0.1 s per segment, the first and the last among them.

    Parameters
    ----------
    recording : BaseRecording
        Any number of channels and segments; integers with an offset and volts are fine.
    parameters : SortingParameters

    Raises
    ------
    ValueError
        If its values are no numbers; if there is no probe, or two channels in one place; if the recording is too
        short, is sampled too slowly for spikes or for the pass band, or a channel holds NaN or infinite values half
        of the time.
    """
    check_kind(recording)
    check_probe(recording)
    check_duration(recording)
    check_sampling_frequency(recording, parameters.freq_min if parameters.apply_preprocessing else 0.0)
    check_finite(recording, sample_chunks(recording))


def prepare_recording(recording):
    """Give the recording that the pipeline sees: on a plane, with samples for a clock, and without dead channels.

    A 3-D probe keeps the two axes along which it extends furthest. Channels without any signal are left out,
    with a warning, since whitening would give them the signal of their neighbours; so are copies of another channel
    (contacts that are shorted), whose units would be in two places.

    Raises
    ------
    NothingFound
        If the recording is empty, or no channel has a signal: it may be unplugged.
    """
    if min(recording.get_num_samples(segment) for segment in range(recording.get_num_segments())) == 0:
        raise NothingFound("the recording is empty")
    recording = count_samples(flatten_probe(recording))
    chunks = sample_chunks(recording)
    flat = find_flat_channels(chunks)
    if flat.all():
        raise NothingFound("no channel has a signal (unplugged?): each is constant where it was looked at")
    copied = find_copied_channels(chunks) & ~flat
    for bad, what in ((flat, "channels without signal"), (copied, "channels that are copies of others (shorted?)")):
        if bad.any():
            logger.warning("%s are left out: %s", what, ", ".join(map(str, recording.channel_ids[bad])))
    good = ~(flat | copied)
    return recording if good.all() else recording.select_channels(recording.channel_ids[good])


def count_samples(recording):
    """Give the recording without times of its own.

    A pause in the times would count as recorded time, and times that restart would overlap. The sorting is in samples,
    so the user's own recording gives its spikes their times.
    """
    if not any(recording.has_time_vector(segment) for segment in range(recording.get_num_segments())):
        return recording
    recording = recording.clone()
    recording.reset_times()
    return recording


def check_kind(recording):
    """Raise unless the traces are integers or real numbers."""
    if recording.dtype.kind not in "iuf":
        raise ValueError(f"the traces are of type {recording.dtype}, and not numbers: give the recorded voltages")


def check_probe(recording):
    """Raise unless each channel has a place of its own."""
    if not recording.has_probe():
        raise ValueError("the recording has no probe: set one with recording.set_probe(...)")
    locations = flat_locations(recording)
    if not np.isfinite(locations).all():
        raise ValueError("some channel locations of the probe are NaN or infinite")
    if len(np.unique(locations, axis=0)) < len(locations):
        raise ValueError("several channels have the same location: sort overlapping groups with run_sorter_by_property")


def check_duration(recording):
    """Raise where the recording, or one of its segments, is too short."""
    durations = [
        recording.get_num_samples(s) / recording.sampling_frequency for s in range(recording.get_num_segments())
    ]
    if sum(durations) < LIMITS.min_duration_s:
        raise ValueError(
            f"the recording is too short: {sum(durations):.3g} s, at least {LIMITS.min_duration_s:g} s are needed"
        )
    for segment_index, duration in enumerate(durations):
        if duration < LIMITS.min_segment_duration_s:
            raise ValueError(
                f"segment {segment_index} is too short: {duration:.3g} s, "
                f"at least {LIMITS.min_segment_duration_s:g} s are needed"
            )


def check_sampling_frequency(recording, freq_min):
    """Raise where the recording can't hold spikes, or holds nothing above freq_min."""
    rate = recording.sampling_frequency
    if rate < LIMITS.min_sampling_frequency:
        raise ValueError(
            f"a sampling frequency of {rate:g} Hz is too low for spikes, which take at least "
            f"{LIMITS.min_sampling_frequency:g} Hz: is this the LFP? Sort the stream of the wide band"
        )
    if freq_min >= LIMITS.max_freq_min * rate:
        raise ValueError(f"freq_min ({freq_min:g} Hz) is too high for a sampling frequency of {rate:g} Hz")


def check_finite(recording, chunks):
    """Raise where half of the sampled values aren't finite, naming the channels; gaps are filled later."""
    finite = np.mean([np.isfinite(traces).mean(axis=0) for traces in chunks], axis=0)
    bad = finite <= LIMITS.min_finite
    if bad.any():
        names = ", ".join(map(str, recording.channel_ids[bad][:10])) + (", ..." if bad.sum() > 10 else "")
        raise ValueError(f"NaN or infinite values on channels {names}: remove these channels or fill the gaps first")


def sample_chunks(recording):
    """Read stretches of raw traces, evenly spaced over each segment; a list of (n_samples, n_channels) arrays."""
    size = int(LIMITS.sampled_chunk_s * recording.sampling_frequency)
    chunks = []
    for segment_index in range(recording.get_num_segments()):
        n_samples = recording.get_num_samples(segment_index)
        n_chunks = min(LIMITS.max_sampled_chunks, max(n_samples // size, 1))
        for start in np.linspace(0, max(n_samples - size, 0), n_chunks).astype(int):
            stop = min(start + size, n_samples)
            chunks.append(recording.get_traces(segment_index=segment_index, start_frame=start, end_frame=stop))
    return chunks


def find_flat_channels(chunks):
    """Find channels that don't change within most chunks in which another one does; (n_channels,) bool.

    A noise level is a median, so that of a channel which wakes up for less than half of the time would be zero.
    """
    flat = np.array([is_constant(traces) for traces in chunks])
    flat = flat[~flat.all(axis=1)]
    return flat.mean(axis=0) > LIMITS.max_constant if len(flat) else np.ones(chunks[0].shape[1], dtype=bool)


def is_constant(traces):
    """Say which channels have one value, beside those that are missing; (n_channels,) bool."""
    finite = np.isfinite(traces)
    return np.where(finite, traces, np.inf).min(axis=0) >= np.where(finite, traces, -np.inf).max(axis=0)


def find_copied_channels(chunks):
    """Find channels whose values are those of an earlier channel in all of the chunks; (n_channels,) bool."""
    values = np.concatenate(chunks)
    _, first, which = np.unique(values, axis=1, return_index=True, return_inverse=True)
    return first[which.ravel()] != np.arange(values.shape[1])
