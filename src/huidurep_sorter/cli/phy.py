"""`huidurep sort --export-phy`: a folder that Phy opens, whole and on its own."""

import logging
import shutil

import numpy as np

from huidurep_sorter.cli.main import UsageError

WINDOW_MS = 1.5  # before and after a spike: Phy takes a spike's waveform with the spike in its middle, so templates too
N_COMPONENTS = 3  # a channel, as Kilosort's features for Phy


def check_export(recording):
    """Raise where a sorting of this recording can't be exported to Phy, which is known before it is sorted.

    Parameters
    ----------
    recording : BaseRecording

    Raises
    ------
    UsageError
    """
    n_segments = recording.get_num_segments()
    if n_segments != 1:
        raise UsageError(f"--export-phy: Phy shows recordings of one segment, and this one has {n_segments}")
    try:
        import pandas  # noqa: F401
        import spikeinterface.exporters  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--export-phy needs what isn't installed: pip install 'huidurep-sorter[phy]' ({error})"
        ) from error


def export_phy(sorting, recording, folder, params, verbose=False):
    """Write a folder that Phy opens; nothing where there is no unit.

    Parameters
    ----------
    sorting : BaseSorting
    recording : BaseRecording
        That was sorted.
    folder : Path
        To make; it appears once everything is in it, and can be moved.
    params : dict
        Of the sorter, with `job_kwargs`.
    verbose : bool, default: False
        Show progress.

    Raises
    ------
    RuntimeError
        Saying where the sorting is.
    """
    sorting = sorting.remove_empty_units()  # SpikeInterface would leave them out without renumbering the others
    if len(sorting.unit_ids) == 0:
        print("no unit: nothing to export to Phy")
        return
    partial = folder.with_name(folder.name + ".partial")
    try:
        _write(sorting, recording, partial, params, verbose)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except Exception as error:
        raise RuntimeError(f"the sorting is done, in {folder.parent}, but not its export to Phy: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # it may be as large as the recording


def _write(sorting, recording, folder, params, verbose):
    """Write all files of a sorting of at least one spike into a folder."""
    from spikeinterface.core import create_sorting_analyzer
    from spikeinterface.exporters import export_to_phy

    from huidurep_sorter.sorter import split_params

    parameters, job_kwargs = split_params(params)
    job_kwargs = dict(progress_bar=verbose) | job_kwargs
    analyzer = create_sorting_analyzer(
        sorting,
        traces_to_show(recording, parameters),
        peak_sign=parameters.peak_sign,
        return_in_uV=False,  # they are; SpikeInterface scales waveforms, but not the traces of which it makes features
        job_kwargs=job_kwargs,  # and no `verbose`: with any name that it doesn't know, SpikeInterface forgets these
    )
    extensions = {
        "random_spikes": dict(seed=parameters.seed),
        "waveforms": dict(ms_before=WINDOW_MS, ms_after=WINDOW_MS),
        "templates": {},
        # not whitened: a component that hardly varies would be blown up, and far channels would look like near ones
        "principal_components": dict(n_components=N_COMPONENTS, mode="by_channel_local", whiten=False),
    }
    analyzer.compute(extensions, verbose=False, **job_kwargs)
    own = [name for name in sorting.get_property_keys() if name.startswith("huidurep_")]
    export_to_phy(
        analyzer,
        folder,
        copy_binary=True,
        use_relative_path=True,
        # `group` is among them anyway, as `channel_group`: in `group` Phy keeps the labels that the user gives
        additional_properties=[*own, "main_channel_id"],
        remove_if_exists=True,
        verbose=False,
        **job_kwargs,
    )
    if len(sorting.unit_ids) == 1:
        add_unused_template(folder)


def add_unused_template(folder):
    """Add a second template, without spikes, since phylib drops the axis of an only one and then can't load it."""
    for name in ("templates", "template_ind", "pc_feature_ind", "similar_templates"):
        array = np.load(folder / f"{name}.npy")
        fill = array if name.endswith("_ind") else np.zeros_like(array)
        array = np.concatenate([array, fill])
        if name == "similar_templates":
            array = np.diag(array[:, 0])
        np.save(folder / f"{name}.npy", array)


def traces_to_show(recording, parameters):
    """Filter a recording as the sorter does, lazily, but keep its unit: µV where that is known.

    Channels without a signal and moments without one are handled as the sorter does too, since a filter spreads values
    that are missing, and nothing can be computed of them.

    Parameters
    ----------
    recording : BaseRecording
    parameters : SortingParameters

    Returns
    -------
    recording : BaseRecording
        float32.
    """
    from spikeinterface.preprocessing import scale

    from huidurep_sorter.traces.checks import prepare_recording
    from huidurep_sorter.traces.preprocessing import align_sampling, band_pass, reference
    from huidurep_sorter.traces.silence import BridgedPeriodsRecording, find_silent_periods

    package_logger = logging.getLogger("huidurep_sorter")
    level = package_logger.level
    package_logger.setLevel(logging.ERROR)  # the sort has warned of the same
    try:
        recording = prepare_recording(recording)
        silent = find_silent_periods(recording)
        if len(silent):
            recording = BridgedPeriodsRecording(recording, silent)
        if parameters.apply_preprocessing:
            recording = reference(band_pass(align_sampling(recording), parameters.freq_min, parameters.freq_max))
    finally:
        package_logger.setLevel(level)
    gains = recording.get_channel_gains() if recording.has_scaleable_traces() else 1.0
    shown = scale(recording, gain=gains, dtype="float32")  # without offsets, which the filter took off
    shown.annotate(is_filtered=True)  # by us or by the user; Phy would filter it once more
    return shown
