"""HuiduRep as a SpikeInterface sorter: the class that `run_sorter("huidurep", recording)` drives."""

import json
import logging
import platform
import time
import warnings
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from spikeinterface.core.core_tools import check_json
from spikeinterface.sorters.basesorter import BaseSorter

from .parameters import SortingParameters

logger = logging.getLogger("huidurep_sorter")

REQUIRED_MODULES = ("torch", "safetensors", "scipy", "sklearn", "numba", "networkx", "hdbscan", "pandas")


class HuidurepSorter(BaseSorter):
    """Spike sorter whose features are the learned representation HuiduRep.

    Like every SpikeInterface sorter it has class methods only, and its state is in its folder:

    - ``sorter_output/sorting``: the result, there only when it is complete;
    - ``sorter_output/huidurep.log``: device, versions, time of each stage, warnings;
    - ``sorter_output/*.npy``: peaks, features, labels, templates, with ``save_array`` or ``debug``.
    """

    sorter_name = "huidurep"
    requires_locations = True
    gpu_capability = "nvidia-optional"
    handle_multi_segment = True

    _default_params = SortingParameters.defaults() | {"job_kwargs": {}}
    _params_description = SortingParameters.descriptions() | {
        "job_kwargs": "SpikeInterface's n_jobs, chunk_duration, ... ; the result doesn't depend on them"
    }

    sorter_description = """HuiduRep represents each spike by an encoder that was trained by contrasting and
    denoising extracellular spikes, and sorts those representations: detection, embedding,
    clustering with the spike's position, template matching, merging. See https://arxiv.org/abs/2507.17224"""

    installation_mesg = "\tpip install huidurep-sorter"

    @classmethod
    def is_installed(cls):
        return all(find_spec(module) is not None for module in REQUIRED_MODULES)

    @classmethod
    def get_sorter_version(cls):
        from huidurep_sorter import __version__

        return __version__

    @classmethod
    def _check_apply_filter_in_params(cls, params):
        return params["apply_preprocessing"]

    @classmethod
    def _check_params(cls, recording, output_folder, params):
        """Refuse parameters and recordings that can't be sorted, before any work.

        Raises
        ------
        ValueError
            Naming the parameter, or what is wrong with the recording.
        FileNotFoundError
            If there are no such weights.
        """
        from .traces.checks import check_recording

        if params["weights"] is not None and Path(params["weights"]).is_file():
            params["weights"] = Path(params["weights"]).absolute()  # workers may run in another folder
        params = json.loads(json.dumps(check_json(params)))  # what the sorter will read
        parameters, _ = split_params(params)
        check_encoder(parameters)
        check_recording(recording, parameters)
        return params

    @classmethod
    def _setup_recording(cls, recording, sorter_output_folder, params, verbose):
        pass

    @classmethod
    def _run_from_folder(cls, sorter_output_folder, params, verbose):
        from .pipeline import sort_recording
        from .traces.checks import prepare_recording

        parameters, job_kwargs = split_params(params)
        with log_to_file(sorter_output_folder / f"{cls.sorter_name}.log", verbose):
            start = time.perf_counter()
            recording = cls.load_recording_from_folder(sorter_output_folder.parent)
            log_circumstances(recording, parameters)
            sorting = sort_recording(
                prepare_recording(recording),
                parameters,
                folder=sorter_output_folder,
                verbose=verbose,
                job_kwargs=job_kwargs,
            )
            save_whole(sorting, sorter_output_folder / "sorting")
            n_spikes = sorting.to_spike_vector().size
            logger.info("%d units, %d spikes", len(sorting.unit_ids), n_spikes)
            logger.info("total: %.1f s", time.perf_counter() - start)

    @classmethod
    def _get_result_from_folder(cls, sorter_output_folder):
        from spikeinterface.core import load

        sorting = load(sorter_output_folder / "sorting")
        return sorting if len(sorting.unit_ids) else with_integer_ids(sorting)


def split_params(params):
    """Checked `SortingParameters`, and the job kwargs (a dict), from the one dict of SpikeInterface."""
    from spikeinterface.core import fix_job_kwargs

    params = dict(params)
    job_kwargs = params.pop("job_kwargs", None) or {}
    if not isinstance(job_kwargs, dict):
        raise ValueError(f"job_kwargs must be a dict such as dict(n_jobs=2), not {job_kwargs!r}")
    try:
        fix_job_kwargs(job_kwargs)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"job_kwargs: {error}") from None
    return SortingParameters.from_dict(params), job_kwargs


def check_encoder(parameters):
    """Raise where the device or the weights that the parameters name aren't there."""
    from .encoder.checkpoints import choose_device, load_encoder

    choose_device(parameters.torch_device)
    if parameters.features == "huidurep":
        load_encoder(parameters.weights, device="cpu")


def with_integer_ids(empty_sorting):
    """A sorting without units, whose ids SpikeInterface's comparisons accept: loading makes them floats."""
    import numpy as np
    from spikeinterface.core import NumpySorting

    from .pipeline import add_silent_segments

    spikes = empty_sorting.to_spike_vector()
    sorting = NumpySorting(spikes, empty_sorting.sampling_frequency, np.array([], dtype="int64"))
    add_silent_segments(sorting, empty_sorting.get_num_segments())
    return sorting


def save_whole(sorting, folder):
    """Save a sorting such that `folder` exists only once everything is in it."""
    partial = folder.with_name(folder.name + ".partial")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*provenance will not be saved")
        sorting.save(folder=partial, overwrite=True)
    partial.replace(folder)


def log_circumstances(recording, parameters):
    """What a reader of the log needs to know before the first stage."""
    import spikeinterface
    import torch

    from huidurep_sorter import __version__

    from .encoder.checkpoints import choose_device

    device = choose_device(parameters.torch_device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    logger.info("huidurep-sorter %s, spikeinterface %s", __version__, spikeinterface.__version__)
    logger.info("device: %s (%s), torch %s, %d threads", device, name, torch.__version__, torch.get_num_threads())
    logger.info(
        "recording: %d channels, %d segments, %.1f s at %g Hz, %s",
        recording.get_num_channels(),
        recording.get_num_segments(),
        recording.get_total_duration(),
        recording.sampling_frequency,
        recording.dtype,
    )


@contextmanager
def log_to_file(path, verbose=False):
    """Send the package's log to a file, and to stderr: all of it when verbose, else only warnings."""
    handlers = [logging.FileHandler(path, mode="w", encoding="utf8"), logging.StreamHandler()]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers[1].setFormatter(logging.Formatter("huidurep: %(message)s"))
    handlers[1].addFilter(lambda record: not record.exc_info)  # the error itself goes up to the caller
    handlers[1].setLevel(logging.INFO if verbose else logging.WARNING)
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    except Exception:
        logger.exception("the sorting failed")
        raise
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
