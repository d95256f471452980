"""Where preprocessed traces are kept while in use: memory, a folder, or nowhere; nothing of them stays behind."""

import errno
import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import psutil
from spikeinterface.core import NumpyRecording, fix_job_kwargs
from spikeinterface.core.job_tools import TimeSeriesChunkExecutor, ensure_n_jobs
from spikeinterface.core.numpyextractors import SharedMemoryRecording
from spikeinterface.sortingcomponents.tools import cache_preprocessing

logger = logging.getLogger(__name__)

SHARED = Path("/dev/shm")  # where Linux keeps shared memory; Docker gives it 64 MB


@dataclass(frozen=True, kw_only=True)
class CacheLimits:
    """How much of what is free preprocessed traces may take."""

    max_share_of_memory: float = 0.5  # of free memory, a limit: SpikeInterface's default; stages need some too
    max_share_of_shared: float = 0.9  # of free shared memory, a limit: others use it too, and a full one kills


LIMITS = CacheLimits()


@contextmanager
def keep_traces(recording, mode, folder, job_kwargs):
    """Keep the traces of a recording of one segment while in use; however it ends, nothing of them stays.

    Parameters
    ----------
    recording : BaseRecording
        Lazily preprocessed.
    mode : str
        `cache_preprocessing_mode`
    folder : Path or None
        For modes "folder" and "zarr", and for "auto" where memory is short.
    job_kwargs : dict

    Yields
    ------
    recording : BaseRecording
        With the same traces.
    """
    place = choose_place(recording, mode, folder is not None, job_kwargs)
    if place == "zarr" and folder is not None:
        folder = folder.with_suffix(".zarr")  # as SpikeInterface calls it
    if place == "arrays":
        yield in_arrays(recording, job_kwargs)
    elif place == "shared":
        with in_shared_memory(recording, job_kwargs) as kept:
            yield kept
    elif place == "no-cache":
        yield recording
    else:
        try:
            yield cache_preprocessing(recording, mode=place, folder=folder, job_kwargs=job_kwargs)[0]
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def choose_place(recording, mode, has_folder, job_kwargs):
    """Choose where traces are kept: "arrays" of this process, "shared" memory, "folder", "zarr" or "no-cache"."""
    if mode not in ("auto", "memory"):
        return mode
    needed, free, kind = recording.get_total_memory_size(), psutil.virtual_memory().available, "memory"
    if needed < LIMITS.max_share_of_memory * free:
        chosen = fix_job_kwargs(job_kwargs)
        if chosen["pool_engine"] == "thread" or ensure_n_jobs(recording, n_jobs=chosen["n_jobs"]) == 1:
            return "arrays"
        free, kind = free_shared_memory(), f"{SHARED}, through which processes share memory,"
        if needed < LIMITS.max_share_of_shared * free:
            return "shared"
    place = "folder" if mode == "auto" and has_folder else "no-cache"
    where = "they are kept on disk" if place == "folder" else "each stage computes them anew, which is slower"
    logger.info("preprocessed traces need %.2f GB, and %s has %.2f GB free: %s", needed / 1e9, kind, free / 1e9, where)
    return place


def free_shared_memory():
    """Tell how many bytes processes can share; writing more than that would kill them. Infinite where unknown."""
    return shutil.disk_usage(SHARED).free if SHARED.is_dir() else np.inf


def in_arrays(recording, job_kwargs):
    """Compute traces into an array of this process; SpikeInterface takes shared memory where there are threads."""
    traces = np.empty((recording.get_num_samples(0), recording.get_num_channels()), dtype=recording.dtype)
    write(recording, traces, job_kwargs)
    return like(recording, NumpyRecording([traces], recording.sampling_frequency, **starts_and_ids(recording)))


def write(recording, target, job_kwargs):
    """Compute traces into an array, or into shared memory of that name, a chunk at a time."""
    args = (recording, target)
    TimeSeriesChunkExecutor(recording, write_chunk, open_chunks, args, job_name="cache", **job_kwargs).run()


def starts_and_ids(recording):
    return dict(channel_ids=recording.channel_ids, t_starts=recording.get_segment_t_starts())


def like(recording, kept):
    """Give the metadata and times of a recording to another of the same traces, which is returned."""
    recording.copy_metadata(kept)
    if recording.has_time_vector(0):
        kept.set_times(recording.get_times(0), segment_index=0)
    return kept


@contextmanager
def in_shared_memory(recording, job_kwargs):
    """Compute traces into memory that worker processes share, which is given back at the end even if it is in use.

    SpikeInterface gives it back only when nobody refers to the recording any more, as a traceback still does.
    """
    shape = (recording.get_num_samples(0), recording.get_num_channels())
    memory = SharedMemory(create=True, size=int(np.prod(shape)) * recording.dtype.itemsize)
    try:
        reserve(memory)
        write(recording, memory.name, job_kwargs)
        kept = SharedMemoryRecording(
            shm_names=[memory.name],
            shape_list=[shape],
            dtype=recording.dtype,
            sampling_frequency=recording.sampling_frequency,
            main_shm_owner=False,
            **starts_and_ids(recording),
        )
        yield like(recording, kept)
    finally:
        memory.close()
        memory.unlink()


def reserve(memory):
    """Take all of some shared memory at once: where it isn't there, that is an error now and no crash later."""
    if not hasattr(os, "posix_fallocate") or not SHARED.is_dir():
        return
    file = os.open(SHARED / memory.name, os.O_RDWR)
    try:
        os.posix_fallocate(file, 0, memory.size)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(
                errno.ENOSPC, f"{SHARED} is full: take n_jobs=1, or cache_preprocessing_mode='folder'"
            ) from None
        raise
    finally:
        os.close(file)


def open_chunks(recording, target):
    """Open the array, or the shared memory, in a worker."""
    if isinstance(target, np.ndarray):
        return dict(recording=recording, traces=target)
    memory, shape = SharedMemory(target), (recording.get_num_samples(0), recording.get_num_channels())
    traces = np.ndarray(shape=shape, dtype=recording.dtype, buffer=memory.buf)
    return dict(recording=recording, traces=traces, memory=memory)


def write_chunk(segment_index, start_frame, end_frame, worker):
    """Compute a piece of the traces in a worker."""
    worker["traces"][start_frame:end_frame] = worker["recording"].get_traces(
        segment_index=segment_index, start_frame=start_frame, end_frame=end_frame
    )
