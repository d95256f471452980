"""Recordings from disk: whatever SpikeInterface reads, guessed by content."""

import re
from difflib import get_close_matches
from inspect import Parameter, signature
from pathlib import Path

import numpy as np
from probeinterface import read_prb, read_probeinterface
from spikeinterface.core import BaseRecording, load, read_binary
from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict
from spikeinterface.extractors.neoextractors import (
    OpenEphysBinaryRecordingExtractor,
    OpenEphysLegacyRecordingExtractor,
    SpikeGLXRecordingExtractor,
    neo_recording_class_dict,
    neo_recording_extractors_dict,
)
from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor

from huidurep_sorter.traces.checks import LIMITS

FORMATS = ("spikeinterface", "spikeglx", "openephys", "nwb", "binary")
PICKLES = (".pkl", ".pickle")
SPIKEGLX_FILES = (".bin", ".meta")
# Names of streams, as neo has them, that are sampled fast enough for spikes and hold none
OTHER_STREAMS = re.compile(
    r"sync|adc|dac|aux|supply|digital|ni-?daq|nidq|obx|lfp|\.lf|stim|dc amplifier|analog.?in|\becu", re.IGNORECASE
)


class Refusal(ValueError):
    """Says in one line, made for the user, why a path isn't read; what readers raise isn't."""


def read_recording(path, file_format=None, *, stream=None, probe=None, binary=None):
    """Open a recording, which may run code: a pickle, SpikeInterface's JSON or folder and a `.prb` name what to call.

    Parameters
    ----------
    path : str or Path
        File or folder.
    file_format : str or None, default: None
        One of `format_names()`; None guesses by content, and refuses a pickle.
    stream : str or None, default: None
        Stream (SpikeGLX, Open Ephys, others of neo) or electrical series (NWB), where the path holds several that can
        hold spikes. A part of its name will do that none of the others has.
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
    guessed = file_format is None
    file_format = guess_format(path) if guessed else check_format(file_format)
    try:
        recording = _read(file_format, path, stream, binary or {})
    except Refusal:
        raise
    except Exception as error:  # readers raise many kinds, and in many lines, for what isn't theirs
        raise ValueError(_explain(error, path, file_format, guessed)) from error
    if probe is not None:
        recording = attach_probe(recording, probe)
    return recording


def format_names():
    """List the formats that can be given: ours, then SpikeInterface's extractors that need no more than a path."""
    others = [name for name, reader in recording_extractor_full_dict.items() if _path_parameter(reader)]
    others.remove("nwbtimeseries")  # any series, of electrodes or not: "nwb" is what is meant
    return tuple(dict.fromkeys([*FORMATS, *others]))


def check_format(file_format):
    """Give the name in lower case; where there is no such format, say which is meant."""
    names = format_names()
    if file_format.lower() in names:
        return file_format.lower()
    close = get_close_matches(file_format.lower(), names)
    meant = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise ValueError(f"there is no format {file_format!r}{meant}; --format takes {', '.join(names)}")


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
        if (path / "raw.mda").exists():
            return "mda"
    elif path.suffix.lower() in PICKLES:
        raise ValueError(
            f"{path} is a pickle, and reading one runs whatever code is in it: only if you trust where it comes from, "
            "give --format spikeinterface"
        )
    elif path.suffix == ".json":
        return "spikeinterface"
    elif path.suffix == ".nwb":
        return "nwb"
    elif path.suffix in SPIKEGLX_FILES and all(path.with_suffix(suffix).exists() for suffix in SPIKEGLX_FILES):
        return "spikeglx"
    elif path.name == "structure.oebin":
        return "openephys"
    elif path.suffix in (".bin", ".dat", ".raw"):
        return "binary"
    return _guess_by_neo(path)


def _guess_by_neo(path):
    """Tell the format by neo, among those that SpikeInterface reads and that are a file or a folder as the path is.

    SpikeGLX and Open Ephys are left out: our own rules know them by more than a suffix.
    """
    from neo.rawio import get_rawio

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
        raise ValueError(f"can't tell the format of {path}: give --format, one of {', '.join(format_names())}")
    return found[0]


def format_name(extractor):
    """Give the name that SpikeInterface has for the format of an extractor class."""
    return extractor.__name__.replace("Recording", "").replace("Extractor", "").lower()


def attach_probe(recording, path):
    """Give the recording the channels of a probe file, which gives each its place."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"the probe file {path} doesn't exist")
    try:
        group = read_prb(path) if path.suffix == ".prb" else read_probeinterface(path)
    except Exception as error:  # of JSON, or of whatever code is in a .prb
        raise ValueError(f"--probe {path} is no probe that can be read: {_one_line(error)}") from error
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


def _explain(error, path, file_format, guessed):
    """Say in one line what a reader has against a path, and what can be done."""
    line = _one_line(error)
    if isinstance(error, ImportError):
        return f"{path}: --format {file_format} needs a library that isn't installed: {line}"
    if guessed:
        seems = f"{path} seems to be of the format {file_format}, but can't be read as such"
        return f"{seems}: {line}; if it is of another format, give --format"
    return f"{path} can't be read with --format {file_format}: {line}; is it of another format, or damaged?"


def _one_line(error):
    line = " ".join(str(error).split())
    is_key = isinstance(error, LookupError)  # its text says nothing by itself
    return f"{type(error).__name__} {line}".strip() if is_key or not line else line


def _read(file_format, path, stream, binary):
    reader = _READERS.get(file_format)
    return _read_by_name(file_format, path, stream) if reader is None else reader(path, stream, binary)


def _neo_streams(extractor, *arguments):
    """Give the sampling frequency of each stream that neo finds, by name."""
    extractor = neo_recording_class_dict[extractor]
    reader = extractor.get_neo_io_reader(extractor.NeoRawIOClass, **extractor.map_to_neo_kwargs(*arguments))
    if reader.block_count() > 1:
        raise Refusal(f"{arguments[0]} holds {reader.block_count()} blocks (sessions), not one: give the path of one")
    channels, streams = reader.header["signal_channels"], reader.header["signal_streams"]
    rates = dict(zip(channels["stream_id"], channels["sampling_rate"], strict=True))
    return {str(name): float(rates[i]) for name, i in zip(streams["name"], streams["id"], strict=True) if i in rates}


def choose_stream(path, rates, wanted=None):
    """Choose the stream that is wanted, else the only one that can hold spikes.

    Parameters
    ----------
    path : Path
        What the streams are in, for errors.
    rates : dict of str to float
        Sampling frequency of each stream, in Hz. One too slow for spikes, or that is called LFP or after an input
        that isn't of electrodes, is chosen by its full name only.
    wanted : str or None, default: None
        Name of a stream, or a part of it.

    Returns
    -------
    stream : str

    Raises
    ------
    Refusal
        If none, or more than one, could be meant.
    """
    if wanted in rates:
        return wanted
    found = [stream for stream, rate in rates.items() if rate >= LIMITS.min_sampling_frequency]
    if len(found) > 1:  # a single one may be called anything: neurons can be recorded on a NI-DAQ
        found = [stream for stream in found if not OTHER_STREAMS.search(stream)]
    if wanted is not None:
        found = [stream for stream in found if wanted in stream]
    if len(found) == 1:
        return found[0]
    number = "several streams" if found else "no stream"
    can = "can hold spikes" if wanted is None else f"can be meant by {wanted!r}"
    raise Refusal(f"{number} of {path} {can}: give --stream, one of {', '.join(rates)}")


def _read_spikeinterface(path, stream, binary):
    recording = load(path, base_folder=path.parent) if path.is_file() else load(path)
    if not isinstance(recording, BaseRecording):
        raise Refusal(f"{path} holds a {type(recording).__name__}, not a recording")
    return recording


def _read_spikeglx(path, stream, binary):
    """Read a run; of a file only its own stream and segment, though neo looks through the whole folder."""
    folder = path if path.is_dir() else path.parent
    runs = {}
    for meta in sorted(folder.rglob("*.meta")):
        if meta.with_suffix(".bin").exists():  # neo leaves out the others
            runs.setdefault(re.sub(r"^.*(?=_g\d+_t)", "", meta.stem), []).append(meta)
    for same in runs.values():
        if len(same) > 1:
            raise Refusal(f"{folder} holds several runs ({same[0]}, {same[1]}): give a folder that holds one")
    if path.is_dir():
        return SpikeGLXRecordingExtractor(path, stream_id=choose_stream(path, _neo_streams("spikeglx", path), stream))
    missing = [path.with_suffix(suffix).name for suffix in SPIKEGLX_FILES if not path.with_suffix(suffix).exists()]
    if missing:
        raise Refusal(f"{path} can't be read with --format spikeglx: {missing[0]} must lie beside it")
    reader = SpikeGLXRecordingExtractor.get_neo_io_reader(SpikeGLXRecordingExtractor.NeoRawIOClass, dirname=str(folder))
    pair = path.with_suffix(".bin")
    file = next(info for info in reader.signals_info_list if Path(info["bin_file"]) == pair)
    if stream is not None and stream not in file["stream_name"]:
        raise Refusal(f"{path} is of the stream {file['stream_name']}, not {stream!r}: leave out --stream")
    recording = SpikeGLXRecordingExtractor(folder, stream_id=file["stream_name"])
    return recording if recording.get_num_segments() == 1 else recording.select_segments([file["seg_index"]])


def _read_openephys(path, stream, binary):
    """Read the binary or the legacy format, from any level of its folders."""
    folder = path.absolute()  # neo takes the names of folders above the one given
    folder = folder.parent if folder.is_file() else folder
    structures = sorted(folder.rglob("structure.oebin"))
    if structures:
        return _read_openephys_binary(folder, structures, stream)
    folders = sorted({file.parent for file in folder.rglob("*.continuous")})
    if len(folders) == 1:
        return _read_openephys_legacy(folders[0], stream)
    if folders:
        raise Refusal(f"{path} holds several recordings: give the folder of one, {', '.join(map(str, folders))}")
    raise Refusal(f"{path} isn't of Open Ephys: it holds no structure.oebin and no .continuous file")


def _read_openephys_binary(folder, structures, stream):
    for structure in structures:
        if not re.search(r"[/\\]experiment\d+[/\\]recording\d+$", str(structure.parent)):
            raise Refusal(f"{structure} must lie in folders experimentN/recordingN, as Open Ephys calls them")
    nodes = {}
    for structure in structures:
        nodes.setdefault(structure.parents[2], set()).add(structure.parents[1].name)
    listed = ", ".join(map(str, nodes))
    if len({node.name if node.name.startswith("Record") else "" for node in nodes}) < len(nodes):
        # neo would take one session for another
        raise Refusal(f"{folder} holds several sessions: give the folder of one, {listed}")
    if any(experiments != nodes[structures[0].parents[2]] for experiments in nodes.values()):
        raise Refusal(f"the Record Nodes in {folder} hold different experiments: give the folder of one, {listed}")
    experiments = OpenEphysBinaryRecordingExtractor.get_available_experiments(folder)
    rates = {
        f"{experiment}/{name}": rate
        for experiment in experiments
        for name, rate in _neo_streams("openephysbinary", folder, [experiment]).items()
    }
    if len(experiments) == 1:
        rates = {name.split("/")[1]: rate for name, rate in rates.items()}
    *experiment, name = choose_stream(folder, rates, stream).split("/")
    return OpenEphysBinaryRecordingExtractor(folder, experiment_name=(experiment or experiments)[0], stream_name=name)


def _read_openephys_legacy(folder, stream):
    from neo.rawio.openephysrawio import explore_folder

    segments = explore_folder(folder)["continuous"]
    orders = {tuple(re.sub(r"_\d+$", "", file.stem) for file in files) for files in segments.values()}
    if len(orders) > 1:
        # neo takes the n-th file of each for the same channel, and sorts those of later ones (CH1_2) by name
        raise Refusal(
            f"{folder} holds {len(segments)} recordings with channels in different orders: give a folder of one"
        )
    if any("_" not in name for order in orders for name in order):
        raise Refusal(f"{folder} has files such as 100_1.continuous, where neo can't tell a channel from a recording")
    stream = choose_stream(folder, _neo_streams("openephyslegacy", folder), stream)
    return OpenEphysLegacyRecordingExtractor(folder, stream_name=stream)


def _read_nwb(path, stream, binary):
    try:
        series = NwbRecordingExtractor.fetch_available_electrical_series_paths(path)
        if not series:
            raise Refusal(f"{path} holds no electrical series")
        wanted = [stream] if stream in series else series
        recordings = {name: NwbRecordingExtractor(path, electrical_series_path=name) for name in wanted}
    except ImportError as error:
        raise Refusal(f"NWB files need `pip install huidurep-sorter[nwb]` ({error})") from None
    if stream is None and len(recordings) == 1:
        return recordings[series[0]]
    return recordings[choose_stream(path, {name: r.sampling_frequency for name, r in recordings.items()}, stream)]


def _read_binary(path, stream, binary):
    if not path.is_file():
        raise Refusal(f"--format binary reads a file, and {path} isn't one")
    missing = [name for name in ("sampling_frequency", "num_channels", "dtype") if binary.get(name) is None]
    if missing:
        options = ", ".join("--" + name.replace("_", "-") for name in missing)
        raise Refusal(f"a binary file doesn't say what it holds: give {options}")
    for name in ("sampling_frequency", "num_channels"):
        if not 0 < binary[name] < np.inf:
            raise Refusal(f"--{name.replace('_', '-')} must be a number above 0, not {binary[name]}")
    try:
        dtype = np.dtype(binary["dtype"])
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "iuf":
        raise Refusal(f"--dtype must be a type of numbers such as int16 or float32, not {binary['dtype']}")
    row = dtype.itemsize * binary["num_channels"]
    if path.stat().st_size % row:
        raise Refusal(
            f"{path} has {path.stat().st_size} bytes, no multiple of {row} (channels times {binary['dtype']})"
        )
    return read_binary(path, **binary)


def _path_parameter(reader):
    """Give the name of the path that an extractor takes, file_path or folder_path; None where it needs more."""
    first, *others = signature(reader).parameters.values()
    more = any(other.default is Parameter.empty and other.kind is not Parameter.VAR_KEYWORD for other in others)
    return first.name if first.name in ("file_path", "folder_path") and not more else None


def _read_by_name(file_format, path, stream):
    """Read by SpikeInterface's extractor of that name; where it asks for a stream, choose one."""
    # the class, since a function may give more than a recording: read_mearec does
    extractor = neo_recording_class_dict.get(file_format, recording_extractor_full_dict[file_format])
    kind = _path_parameter(extractor).removesuffix("_path")
    if path.is_dir() != (kind == "folder"):
        raise Refusal(f"--format {file_format} reads a {kind}, and {path} isn't one: give the {kind} of the recording")
    if stream is not None and "stream_name" not in signature(extractor).parameters:
        raise Refusal(f"{path} can't be read with --stream: --format {file_format} knows no streams")
    try:
        return extractor(path, **({} if stream is None else {"stream_name": stream}))
    except Exception:
        streams = _neo_streams(file_format, path) if file_format in neo_recording_class_dict else {}
        if len(streams) < 2 and (stream is None or not streams):
            raise
    return extractor(path, stream_name=choose_stream(path, streams, stream))


_READERS = {
    "spikeinterface": _read_spikeinterface,
    "spikeglx": _read_spikeglx,
    "openephys": _read_openephys,
    "openephysbinary": _read_openephys,
    "openephyslegacy": _read_openephys,
    "nwb": _read_nwb,
    "binary": _read_binary,
}
