"""HuiduRep as a SpikeInterface sorter: the class that `run_sorter("huidurep", recording)` drives."""

import errno
import logging
import multiprocessing
import platform
import shutil
import tempfile
import warnings
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import spikeinterface
from spikeinterface.core import BaseRecording, NumpySorting, fix_job_kwargs, load
from spikeinterface.core.core_tools import check_json
from spikeinterface.sorters.basesorter import BaseSorter

from huidurep_sorter.__about__ import __version__
from huidurep_sorter.parameters import SortingParameters, read_job_kwargs
from huidurep_sorter.processes import FolderInUse, claim, ends_cleanly, release
from huidurep_sorter.progress import show_progress

logger = logging.getLogger(__name__)
package_logger = logging.getLogger("huidurep_sorter")  # the parent of every module's logger

REQUIRED_MODULES = ("torch", "safetensors", "scipy", "sklearn", "numba", "networkx", "hdbscan", "pandas")
NOT_RUN = "not_run.txt"  # in the folder of a run that doesn't run: says why


class HuidurepSorter(BaseSorter):
    """Spike sorter whose features are the learned representation HuiduRep.

    Like every SpikeInterface sorter it has class methods only, and its state is in its folder:

    - ``sorter_output/sorting``: the result, there only when it is complete;
    - ``sorter_output/report.html``: what a person looks at, with ``save_report``;
    - ``sorter_output/huidurep.log``: device, versions, time of each stage, warnings;
    - ``sorter_output/*.npy``: peaks, features, labels, templates, with ``save_array`` or ``debug``.
    """

    sorter_name = "huidurep"
    requires_locations = True
    gpu_capability = "nvidia-optional"
    handle_multi_segment = True

    _default_params = SortingParameters.defaults() | {"job_kwargs": {}}

    sorter_description = """HuiduRep represents each spike by an encoder that was trained by contrasting and
    denoising extracellular spikes, and sorts those representations: detection, embedding,
    clustering with the spike's position, template matching, merging. See https://arxiv.org/abs/2507.17224"""

    installation_mesg = "\tpip install huidurep-sorter"

    @classmethod
    def is_installed(cls):
        return all(find_spec(module) is not None for module in REQUIRED_MODULES)

    @classmethod
    def get_sorter_version(cls):
        return __version__

    @classmethod
    def params_description(cls):
        """Describe each parameter; made when asked for, since the names of methods are read from their modules."""
        return SortingParameters.descriptions() | {
            "job_kwargs": "SpikeInterface's n_jobs, chunk_duration, ... ; the result doesn't depend on them"
        }

    @classmethod
    def initialize_folder(cls, recording, output_folder, verbose, remove_existing_folder):
        """Claim the folder, and make it; where another run sorts into it, make one elsewhere, in which this run fails.

        So SpikeInterface handles it as every sorting that fails, a batch goes on, and the other run isn't touched. A
        3-D probe is laid flat first: SpikeInterface looks only at x and y, in which contacts may share a place.
        """
        from huidurep_sorter.traces.probe import flatten_probe

        flat = flatten_probe(recording) if isinstance(recording, BaseRecording) else recording
        refuse_unguarded_spawn()
        folder = Path(output_folder or f"{cls.sorter_name}_output").absolute()
        if not remove_existing_folder and folder.is_dir():
            return super().initialize_folder(flat, folder, verbose, remove_existing_folder)  # refuses
        try:
            claim(folder)
        except FolderInUse as reason:
            elsewhere = Path(tempfile.mkdtemp(prefix=f"{cls.sorter_name}-not-run-"))
            elsewhere = super().initialize_folder(flat, elsewhere, verbose, True)
            (elsewhere / NOT_RUN).write_text(str(reason), encoding="utf8")
            return elsewhere
        try:
            return super().initialize_folder(flat, folder, verbose, remove_existing_folder)
        except BaseException:
            release(folder)
            raise

    @classmethod
    def set_params_to_folder(cls, recording, output_folder, new_params, verbose):
        """Refuse unknown names with a hint where they were renamed; SpikeInterface would only list all names."""
        try:
            SortingParameters.refuse_unknown(set(new_params) - {"job_kwargs"})
            return super().set_params_to_folder(recording, output_folder, new_params, verbose)
        except BaseException:
            release(output_folder)
            raise

    @classmethod
    def run_from_folder(cls, output_folder, raise_error, verbose):
        """Run such that no other run sorts into the folder, and that nothing temporary stays, however it ends."""
        with ends_cleanly():
            claim(output_folder)
            try:
                return super().run_from_folder(output_folder, raise_error, verbose)
            finally:
                release(output_folder)

    @classmethod
    def _check_apply_filter_in_params(cls, params):
        return params["apply_preprocessing"]

    @classmethod
    def _check_params(cls, recording, output_folder, params):
        """Refuse parameters that can't be used, before any work.

        What is wrong with the recording is raised later, where SpikeInterface guards it: so a batch of recordings with
        ``raise_error=False`` gets past one that can't be sorted.

        Raises
        ------
        ValueError
            Naming the parameter.
        FileNotFoundError
            If there are no such weights.
        """
        parameters, job_kwargs = split_params(params)
        check_encoder(parameters)
        if parameters.weights is not None and Path(parameters.weights).is_file():
            parameters = replace(parameters, weights=Path(parameters.weights).absolute())  # workers run elsewhere
        return check_json(asdict(parameters) | {"job_kwargs": job_kwargs})

    @classmethod
    def _setup_recording(cls, recording, sorter_output_folder, params, verbose):
        pass

    @classmethod
    def _run_from_folder(cls, sorter_output_folder, params, verbose):
        from huidurep_sorter.pipeline import sort_recording
        from huidurep_sorter.runtime import timed
        from huidurep_sorter.traces.checks import check_recording

        not_run = sorter_output_folder.parent / NOT_RUN
        if not_run.is_file():
            raise FolderInUse(not_run.read_text(encoding="utf8"))
        parameters, job_kwargs = split_params(params)
        with log_to_file(sorter_output_folder / f"{cls.sorter_name}.log", verbose), timed("total"):
            recording = cls.load_recording_from_folder(sorter_output_folder.parent)
            log_circumstances(recording, parameters)
            check_recording(recording, parameters)
            job_kwargs = without_workers_of_a_daemon(job_kwargs)
            with say_why_workers_died():
                sorting = sort_recording(
                    recording, parameters, folder=sorter_output_folder, verbose=verbose, job_kwargs=job_kwargs
                )
            save_whole(sorting, sorter_output_folder / "sorting")
            n_spikes = sorting.to_spike_vector().size
            logger.info("%d units, %d spikes", len(sorting.unit_ids), n_spikes)
            if parameters.save_report:
                report(sorter_output_folder)

    @classmethod
    def _get_result_from_folder(cls, sorter_output_folder):
        sorting = load(sorter_output_folder / "sorting")
        kept = sorter_output_folder / "sorting" / "properties" / "main_channel_id.npy"
        if len(sorting.unit_ids) == 0 and kept.is_file():  # SpikeInterface reads this one from JSON: no type if empty
            sorting.set_property("main_channel_id", np.load(kept))
        return copy_to_memory(sorting)


def split_params(params):
    """Check `SortingParameters` and the job kwargs (a dict), which SpikeInterface has in one dict."""
    params = dict(params)
    job_kwargs = read_job_kwargs(params.pop("job_kwargs", None))
    return SortingParameters.from_dict(params), job_kwargs


def check_encoder(parameters):
    """Raise where the device or the weights that the parameters name aren't there."""
    from huidurep_sorter.encoder.checkpoints import choose_device, load_encoder

    choose_device(parameters.torch_device)
    if parameters.features == "huidurep":
        load_encoder(parameters.weights, device="cpu")


def refuse_unguarded_spawn():
    """Refuse to sort where a worker process imports the script that started it, which would sort once more.

    Raises
    ------
    RuntimeError
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(f"each worker process runs this script anew: {GUARD}")


GUARD = "with mp_context='spawn', call the sorter under `if __name__ == \"__main__\":`"


@contextmanager
def say_why_workers_died():
    """Say what to do where a worker process ended early; Python says only that it did."""
    try:
        yield
    except BrokenProcessPool as error:
        raise RuntimeError(f"a worker process ended early: {GUARD}; or memory ran out: take a lower n_jobs") from error


def without_workers_of_a_daemon(job_kwargs):
    """Take one process where this one is a daemon, which may have no workers; the result is the same."""
    chosen = fix_job_kwargs(dict(job_kwargs))
    if not multiprocessing.current_process().daemon or chosen["n_jobs"] == 1 or chosen["pool_engine"] == "thread":
        return job_kwargs
    logger.info("this process is a daemon, which may have no workers: n_jobs=1 instead of %d", chosen["n_jobs"])
    return job_kwargs | dict(n_jobs=1)


def copy_to_memory(sorting) -> NumpySorting:
    """Copy a sorting with its properties and all its segments, so that it needs no folder.

    Ids of an empty sorting become texts; loading makes them floats, which SpikeInterface's comparisons refuse. With
    integers, aggregated with those of other groups, they would become unsigned ones, which comparisons refuse too.
    """
    unit_ids = sorting.unit_ids if len(sorting.unit_ids) else np.array([], dtype="U1")
    copied = NumpySorting(np.array(sorting.to_spike_vector()), sorting.sampling_frequency, unit_ids)
    sorting.copy_metadata(copied)
    if copied.get_num_segments() < sorting.get_num_segments():
        from huidurep_sorter.pipeline import add_silent_segments

        add_silent_segments(copied, sorting.get_num_segments())
    return copied


def save_whole(sorting, folder):
    """Save a sorting such that `folder` exists only once everything is in it."""
    partial = folder.with_name(folder.name + ".partial")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*provenance will not be saved")
        sorting.save(folder=partial, overwrite=True)
    try:
        partial.replace(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(partial, ignore_errors=True)
        raise FolderInUse(f"{folder} has the result of another run, which is kept: give another folder") from None


def report(folder):
    """Write the report; where that fails, the sorting stays and the log says why there is none."""
    from huidurep_sorter.report.page import write_report
    from huidurep_sorter.runtime import stage

    try:
        with stage("report"):
            write_report(folder)
    except Exception as error:
        logger.warning("the sorting is done, but no report was written: %r", error)


def log_circumstances(recording, parameters):
    """Log what a reader needs to know before the first stage."""
    import torch

    from huidurep_sorter.encoder.checkpoints import choose_device

    device = choose_device(parameters.torch_device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    logger.info("huidurep-sorter %s, spikeinterface %s", __version__, spikeinterface.__version__)
    logger.info("device: %s (%s), torch %s, %d threads", device, name, torch.__version__, torch.get_num_threads())
    logger.info(
        "recording: %d channels, %d segments, %.1f s at %g Hz, %s",
        recording.get_num_channels(),
        recording.get_num_segments(),
        recording.get_total_samples() / recording.sampling_frequency,
        recording.sampling_frequency,
        recording.dtype,
    )


@contextmanager
def log_to_file(path, verbose=False):
    """Send the package's log to a file, and to stderr: all of it when verbose, else only warnings."""
    handlers = [logging.FileHandler(path, mode="w", encoding="utf8"), logging.StreamHandler()]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers[1].setFormatter(logging.Formatter("huidurep: %(message)s"))
    # The error itself goes up to the caller; the begin of a stage is shown with the progress.
    handlers[1].addFilter(lambda record: not record.exc_info and not hasattr(record, "stage"))
    handlers[1].setLevel(logging.INFO if verbose else logging.WARNING)
    level = package_logger.level
    package_logger.setLevel(logging.INFO)
    for handler in handlers:
        package_logger.addHandler(handler)
    try:
        with show_progress(rewrites=False) if verbose else nullcontext():
            yield
    except Exception:
        logger.exception("the sorting failed")
        raise
    except BaseException as error:
        logger.info("the sorting was interrupted: %r", error)
        raise
    finally:
        for handler in handlers:
            package_logger.removeHandler(handler)
            handler.close()
        package_logger.setLevel(level)
