"""Recordings from disk: whatever SpikeInterface reads, guessed by content."""

from pathlib import Path

import numpy as np
from probeinterface import read_prb, read_probeinterface
from spikeinterface.core import BaseRecording, load, read_binary

FORMATS = ("spikeinterface", "spikeglx", "openephys", "nwb", "binary")
PICKLES = (".pkl", ".pickle")


def read_recording(path, file_format=None, *, stream=None, probe=None, binary=None):
    """Open a recording, which may run code: a pickle, SpikeInterface's JSON or folder and a `.prb` name what to call.

    Parameters
    ----------
    path : str or Path
        File or folder.
    file_format : str or None, default: None
        One of `FORMATS`, or the name of any recording extractor of SpikeInterface ("intan", "blackrock", "mearec");
        None guesses by content, and refuses a pickle.
    stream : str or None, default: None
        Stream (SpikeGLX, Open Ephys, others of neo) or electrical series (NWB), where the path holds several.
    probe : str, Path or None, default: None
        A probeinterface JSON or `.prb` file; replaces the probe that the recording has.
    binary : dict or None, default: None
        For "binary": `sampling_frequency`, `num_channels`, `dtype`, as in `read_binary`.

    Returns
    -------
    recording : BaseRecording

    Raises
    ------
    FileNotFoundError, ValueError
        With a message for the user.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} doesn't exist")
    if file_format is None:
        recording = _read_guessed(path, stream, binary or {})
    else:
        recording = _read(file_format, path, stream, binary or {})
    if probe is not None:
        recording = attach_probe(recording, probe)
    return recording


def guess_format(path):
    """Tell the format of an existing path.

    Our own rules look at content. What they can't tell is left to neo, which looks at the suffixes of files.

    Returns
    -------
    file_format : str
        One of `FORMATS`, or the name of a recording extractor of SpikeInterface.

    Raises
    ------
    ValueError
        If no format fits, or several.
    """
    path = Path(path)
    if path.is_dir():
        if path.suffix == ".zarr" or any(
            (path / name).exists() for name in ("si_folder.json", "cached.json", ".zattrs")
        ):
            return "spikeinterface"
        if any(path.rglob("*.ap.bin")) or any(path.rglob("*.imec*.bin")):
            return "spikeglx"
        if any(path.rglob("structure.oebin")) or any(path.rglob("*.continuous")):
            return "openephys"
    elif path.suffix.lower() in PICKLES:
        raise ValueError(
            f"{path} is a pickle, and reading one runs whatever code is in it: only if you trust where it comes from, "
            "give --format spikeinterface"
        )
    elif path.suffix == ".json":
        return "spikeinterface"
    elif path.suffix == ".nwb":
        return "nwb"
    elif path.suffix == ".bin" and path.with_suffix(".meta").exists():
        return "spikeglx"
    elif path.suffix in (".bin", ".dat", ".raw"):
        return "binary"
    return _guess_by_neo(path)


def _guess_by_neo(path):
    """Tell the format by neo, among those that SpikeInterface reads and that are a file or a folder as the path is.

    SpikeGLX and Open Ephys are left out: our own rules know them by more than a suffix.
    """
    from neo.rawio import get_rawio
    from spikeinterface.extractors.neoextractors import neo_recording_extractors_dict

    extractors = {extractor.NeoRawIOClass: extractor for extractor in neo_recording_extractors_dict}
    found = [
        format_name(extractors[rawio.__name__])
        for rawio in get_rawio(path, exclusive_rawio=False)
        if rawio.__name__ in extractors and ("dir" in rawio.rawmode) == path.is_dir()
    ]
    found = sorted(name for name in found if not name.startswith(("spikeglx", "openephys")))
    if len(found) > 1:
        raise ValueError(f"{path} could be of several formats: give --format, one of {', '.join(found)}")
    if not found:
        raise ValueError(
            f"can't tell the format of {path}: give --format, one of {', '.join(FORMATS)}, "
            "or the name of an extractor of SpikeInterface"
        )
    return found[0]


def format_name(extractor):
    """Give the name that SpikeInterface has for the format of an extractor class."""
    return extractor.__name__.replace("Recording", "").replace("Extractor", "").lower()


def attach_probe(recording, path):
    """Give the recording the channels of a probe file, which gives each its place."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"the probe file {path} doesn't exist")
    group = read_prb(path) if path.suffix == ".prb" else read_probeinterface(path)
    contacts = group.get_contact_count()
    wired = [
        i for probe in group.probes if probe.device_channel_indices is not None for i in probe.device_channel_indices
    ]
    if not wired:
        group.set_global_device_channel_indices(range(contacts))
        wired = range(contacts)
    if max(wired) >= recording.get_num_channels():
        raise ValueError(f"the probe names channel {max(wired)}, the recording has {recording.get_num_channels()}")
    return recording.select_channels_with_probegroup(group)


def _read_guessed(path, stream, binary):
    """Read in the format that the path seems to have; where neo guessed, its suffix may mislead."""
    file_format = guess_format(path)
    if file_format in FORMATS:
        return _read(file_format, path, stream, binary)
    try:
        return _read(file_format, path, stream, binary)
    except Exception as error:  # neo's readers raise many kinds for what isn't theirs
        raise ValueError(
            f"{path} seems to be of the format {file_format}, but can't be read as such: {error}; give --format"
        ) from error


def _read(file_format, path, stream, binary):
    reader = _READERS.get(file_format)
    return _read_by_name(file_format, path, stream) if reader is None else reader(path, stream, binary)


def _read_spikeinterface(path, stream, binary):
    recording = load(path, base_folder=path.parent) if path.is_file() else load(path)
    if not isinstance(recording, BaseRecording):
        raise ValueError(f"{path} holds a {type(recording).__name__}, not a recording")
    return recording


def _read_spikeglx(path, stream, binary):
    from spikeinterface.extractors import read_spikeglx

    folder = path.parent if path.is_file() else path
    wanted = path.name.removesuffix(".bin").split(".", 1)[-1] if path.is_file() and stream is None else stream
    return read_spikeglx(folder, stream_id=_choose_stream("spikeglx", folder, wanted, lambda s: s.endswith(".ap")))


def _read_openephys(path, stream, binary):
    from spikeinterface.extractors import read_openephys

    stream_name = _choose_stream(
        "openephys", path, stream, lambda s: not any(word in s for word in ("NI-DAQ", "ADC", "LFP", "SYNC"))
    )
    return read_openephys(path, stream_name=stream_name)


def _choose_stream(extractor, folder, wanted, is_spike_band):
    """Choose the stream named, or the only one that can hold spikes; ids for SpikeGLX, names for Open Ephys."""
    from spikeinterface.extractors import get_neo_streams

    names, ids = get_neo_streams(extractor, folder)
    streams = ids if extractor == "spikeglx" else names
    if wanted is not None:
        if wanted not in streams:
            raise ValueError(f"there is no stream {wanted!r}; the streams are {', '.join(streams)}")
        return wanted
    candidates = [stream for stream in streams if is_spike_band(stream)]
    if len(candidates) != 1:
        raise ValueError(f"several streams could be meant: give --stream, one of {', '.join(streams)}")
    return candidates[0]


def _read_nwb(path, stream, binary):
    try:
        from spikeinterface.extractors import read_nwb_recording

        return read_nwb_recording(path, electrical_series_path=stream)
    except ImportError as error:
        raise ValueError(f"NWB files need `pip install huidurep-sorter[nwb]` ({error})") from None


def _read_binary(path, stream, binary):
    missing = [name for name in ("sampling_frequency", "num_channels", "dtype") if binary.get(name) is None]
    if missing:
        options = ", ".join("--" + name.replace("_", "-") for name in missing)
        raise ValueError(f"a binary file doesn't say what it holds: give {options}")
    for name in ("sampling_frequency", "num_channels"):
        if not 0 < binary[name] < np.inf:
            raise ValueError(f"--{name.replace('_', '-')} must be a number above 0, not {binary[name]}")
    if np.dtype(binary["dtype"]).kind not in "iuf":
        raise ValueError(f"--dtype must be a type of numbers such as int16 or float32, not {binary['dtype']}")
    row = np.dtype(binary["dtype"]).itemsize * binary["num_channels"]
    if path.stat().st_size % row:
        raise ValueError(
            f"{path} has {path.stat().st_size} bytes, no multiple of {row} (channels times {binary['dtype']})"
        )
    return read_binary(path, **binary)


def _read_by_name(file_format, path, stream):
    """Read by SpikeInterface's extractor of that name."""
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict

    if file_format not in recording_extractor_full_dict:
        names = ", ".join(dict.fromkeys([*FORMATS, *recording_extractor_full_dict]))
        raise ValueError(f"there is no format {file_format!r}; the formats are {names}")
    options = {} if stream is None else {"stream_name": stream}
    return recording_extractor_full_dict[file_format](path, **options)


_READERS = {
    "spikeinterface": _read_spikeinterface,
    "spikeglx": _read_spikeglx,
    "openephys": _read_openephys,
    "nwb": _read_nwb,
    "binary": _read_binary,
}
