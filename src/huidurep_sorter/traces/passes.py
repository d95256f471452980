"""One pass over a recording, in pieces, by as many workers as there are."""

from dataclasses import dataclass

from spikeinterface.core.job_tools import TimeSeriesChunkExecutor

ONE_PROCESS = dict(n_jobs=1, progress_bar=False)


@dataclass(frozen=True, kw_only=True)
class PassLimits:
    """When workers are worth their start."""

    min_channel_seconds: float = 20_000.0  # s times channels, a limit of time: a worker takes 2 s to start (sorters-38)


LIMITS = PassLimits()


def map_pieces(recording, function, size, job_kwargs=None, name="read"):
    """Call a function on all pieces of a recording, in order.

    Parameters
    ----------
    recording : BaseRecording
    function : callable
        Gets the recording, the index of a segment, and the first sample and the last sample + 1 of a piece. Workers
        get it by pickle.
    size : int
        Samples of a piece; the last one of a segment may be shorter.
    job_kwargs : dict, optional
        SpikeInterface's; a short recording is read in this process whatever they say.
    name : str, default: "read"
        For progress bars.

    Returns
    -------
    results : list
    """
    n_of_segments = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
    channel_seconds = sum(n_of_segments) / recording.sampling_frequency * recording.get_num_channels()
    if job_kwargs is None or channel_seconds < LIMITS.min_channel_seconds:
        job_kwargs = ONE_PROCESS
    pieces = [
        (segment, start, min(start + size, n_samples))
        for segment, n_samples in enumerate(n_of_segments)
        for start in range(0, n_samples, size)
    ]
    job_kwargs = job_kwargs | dict(chunk_size=size, chunk_duration=None, handle_returns=True, job_name=name)
    return TimeSeriesChunkExecutor(recording, call, hand_over, (recording, function), **job_kwargs).run(pieces)


def hand_over(recording, function):
    """Give a worker what it calls, and of which recording."""
    return dict(recording=recording, function=function)


def call(segment_index, start_frame, end_frame, worker):
    """Call the function of a worker on a piece."""
    return worker["function"](worker["recording"], segment_index, start_frame, end_frame)
