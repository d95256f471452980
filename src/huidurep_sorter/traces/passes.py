"""One pass over a recording, in pieces, by as many workers as there are."""

from dataclasses import dataclass

from spikeinterface.core.job_tools import TimeSeriesChunkExecutor

ONE_PROCESS = dict(n_jobs=1, progress_bar=False)


@dataclass(frozen=True, kw_only=True)
class PassLimits:
    """When workers are worth their start."""

    min_channel_seconds: float = 20_000.0  # s times channels, a limit of time: a worker takes 2 s to start (sorters-38)


LIMITS = PassLimits()


def pieces_of(recording, size):
    """Cut a recording into pieces of so many samples, as (segment, first sample, last sample + 1); ends are shorter."""
    return [
        (segment, start, min(start + size, recording.get_num_samples(segment)))
        for segment in range(recording.get_num_segments())
        for start in range(0, recording.get_num_samples(segment), size)
    ]


def map_pieces(recording, function, pieces, job_kwargs=None, name="read"):
    """Call a function on pieces of a recording, in order.

    Parameters
    ----------
    recording : BaseRecording
    function : callable
        Gets the recording, the index of a segment, and the first sample and the last sample + 1 of a piece. Workers
        get it by pickle.
    pieces : list of (int, int, int)
        As from `pieces_of`.
    job_kwargs : dict, optional
        SpikeInterface's; a short recording is read in this process whatever they say.
    name : str, default: "read"
        For progress bars.

    Returns
    -------
    results : list
    """
    channel_seconds = recording.get_total_samples() / recording.sampling_frequency * recording.get_num_channels()
    if job_kwargs is None or channel_seconds < LIMITS.min_channel_seconds:
        job_kwargs = ONE_PROCESS
    size = max(stop - start for _, start, stop in pieces)
    job_kwargs = job_kwargs | dict(chunk_size=size, chunk_duration=None, handle_returns=True, job_name=name)
    return TimeSeriesChunkExecutor(recording, call, hand_over, (recording, function), **job_kwargs).run(pieces)


def hand_over(recording, function):
    """Give a worker what it calls, and of which recording."""
    return dict(recording=recording, function=function)


def call(segment_index, start_frame, end_frame, worker):
    """Call the function of a worker on a piece."""
    return worker["function"](worker["recording"], segment_index, start_frame, end_frame)
