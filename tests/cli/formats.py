"""Small recordings in the formats of acquisition systems, written by hand from what neo's readers say of them."""

import json
import os
import struct
from datetime import datetime, timezone

import numpy as np
import pytest
from probeinterface import ProbeGroup, generate_linear_probe, write_prb, write_probeinterface

CHANNELS = 4
GAIN = 0.195  # uV; Intan's and Open Ephys'


def make_traces(samples=1024, channels=CHANNELS, seed=0):
    """Make values that all differ, so that no wrong order of channels or samples goes unseen."""
    return np.random.default_rng(seed).integers(-2000, 2000, (samples, channels)).astype("int16")


def write_openephys(folder, streams, *, gain=GAIN):
    """Write a recording of Open Ephys' binary format, or add streams to it.

    Parameters
    ----------
    folder : Path
        Called recordingN, in a folder experimentN.
    streams : dict of str to (traces, sampling frequency)
        A stream whose name has "PXI" gets a channel SYNC, as Neuropixels have.
    gain : float, default: GAIN
        In uV.
    """
    file = folder / "structure.oebin"
    structure = json.loads(file.read_text()) if file.exists() else {"continuous": [], "events": [], "spikes": []}
    for name, (traces, sampling_frequency) in streams.items():
        names = [f"CH{i + 1}" for i in range(traces.shape[1])]
        if "PXI" in name:
            names.append(f"{name.split('.')[-1]}_SYNC")
            traces = np.column_stack([traces, np.zeros(len(traces), "int16")])
        (folder / "continuous" / name).mkdir(parents=True)
        traces.tofile(folder / "continuous" / name / "continuous.dat")
        np.save(folder / "continuous" / name / "sample_numbers.npy", np.arange(len(traces)))
        channels = [{"channel_name": name, "bit_volts": gain, "units": "uV"} for name in names]
        structure["continuous"].append(
            {"folder_name": f"{name}/", "sample_rate": sampling_frequency, "channels": channels}
        )
    file.write_text(json.dumps(structure))


def write_openephys_settings(node, electrodes):
    """Write the settings of a Record Node that has one Neuropixels 1.0 probe, of which some electrodes are recorded."""
    selected = " ".join(f'E{i}="{electrode}"' for i, electrode in enumerate(electrodes))
    (node / "settings.xml").write_text(
        "<SETTINGS><INFO><VERSION>0.6.7</VERSION></INFO><SIGNALCHAIN>"
        '<PROCESSOR name="Neuropix-PXI" libraryVersion="0.6.0" nodeId="100">'
        '<STREAM name="ProbeA-AP"/><STREAM name="ProbeA-LFP"/><EDITOR>'
        '<NP_PROBE slot="2" port="1" dock="1" probe_serial_number="1" probe_part_number="NP1010">'
        f"<SELECTED_ELECTRODES {selected}/></NP_PROBE></EDITOR></PROCESSOR></SIGNALCHAIN></SETTINGS>"
    )


def write_openephys_session(folder):
    """Write a session with one Record Node, one probe and a NI-DAQ; gives its folder and the traces with spikes."""
    node = folder / "2026-01-01_10-00-00" / "Record Node 101"
    traces = make_traces()
    streams = {
        "Neuropix-PXI-100.ProbeA-AP": (traces, 30000.0),
        "Neuropix-PXI-100.ProbeA-LFP": (make_traces(seed=1), 2500.0),
        "NI-DAQmx-102.PXIe-6341": (make_traces(seed=2), 30000.0),
    }
    write_openephys(node / "experiment1" / "recording1", streams)
    write_openephys_settings(node, [0, 1, 4, 6])
    return node.parent, traces


def write_openephys_legacy(folder, traces, *, names=None, recording=1):
    """Write one .continuous file per channel; traces must be of blocks of 1024 samples."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = np.zeros(
        len(traces) // 1024,
        [("timestamp", "<i8"), ("n", "<u2"), ("recording", "<u2"), ("samples", ">i2", 1024), ("marker", "u1", 10)],
    )
    blocks["timestamp"], blocks["n"] = np.arange(len(blocks)) * 1024, 1024
    suffix = "" if recording == 1 else f"_{recording}"
    for name, samples in zip(names or [f"CH{i + 1}" for i in range(traces.shape[1])], traces.T, strict=True):
        header = "header.format = 'Open Ephys Data Format';\nheader.version = 0.4;\nheader.blockLength = 1024;\n"
        header += "header.date_created = '1-Jan-2026 100000';\n"
        header += f"header.channel = '{name}';\nheader.sampleRate = 30000;\nheader.bitVolts = {GAIN};\n"
        blocks["samples"] = samples.reshape(-1, 1024)
        (folder / f"100_{name}{suffix}.continuous").write_bytes(header.encode().ljust(1024) + blocks.tobytes())


def write_spikeglx(folder, stream, traces, *, name="run_g0_t0", sampling_frequency=30000):
    """Write the .bin and the .meta of a stream ("imec0.ap") of a Neuropixels 1.0 probe; gives the .bin."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{stream}.bin"
    channels, kind = traces.shape[1], stream.split(".")[-1].upper()
    np.column_stack([traces, np.zeros(len(traces), "int16")]).tofile(path)
    imro = "".join(f"({i} 0 0 500 250 1)" for i in range(channels))
    places = "".join(f"({kind}{i};{i}:{i})" for i in range(channels)) + f"(SY0;{channels}:{channels})"
    meta = {
        "typeThis": "imec",
        "imDatPrb_pn": "NP1010",
        "imDatPrb_sn": 1,
        "imAiRangeMax": 0.6,
        "imSampRate": sampling_frequency,
        "fileName": f"D:/data/{path.name}",
        "fileSizeBytes": path.stat().st_size,
        "firstSample": 0,
        "nSavedChans": channels + 1,
        "snsApLfSy": f"{channels},0,1" if kind == "AP" else f"0,{channels},1",
        "snsSaveChanSubset": "all",
        "~imroTbl": f"(0,{channels}){imro}",
        "~snsChanMap": f"({channels},0,1){places}",
    }
    path.with_suffix(".meta").write_text("".join(f"{key}={value}\n" for key, value in meta.items()))
    return path


def write_spikeglx_run(folder):
    """Write a run with one probe and two files of each kind; gives the folder of the files."""
    folder = folder / "run_g0" / "run_g0_imec0"
    for i in range(2):
        name, traces = f"run.v2_g0_t{i}", make_traces(seed=i)
        write_spikeglx(folder, "imec0.ap", traces, name=name)
        write_spikeglx(folder, "imec0.lf", traces[::12], name=name, sampling_frequency=2500)
    return folder


def _qstring(text):
    return struct.pack("<I", 2 * len(text)) + text.encode("utf-16-le") if text else b"\xff\xff\xff\xff"


def write_intan(path, traces):
    """Write an .rhd file (version 2.0) with an auxiliary and a supply channel; traces must be of blocks of 128."""
    header = struct.pack("<IhhfhffffffhffIII", 0xC6912702, 2, 0, 30000, 1, *[1.0] * 6, 0, 1000, 1000, *[2**32 - 1] * 3)
    header += struct.pack("<hh", 0, 0) + _qstring("REF") + struct.pack("<h", 1)
    names = [(f"A-{i:03}", 0) for i in range(traces.shape[1])] + [("A-AUX1", 1), ("A-VDD1", 2)]
    header += _qstring("Port A") + _qstring("A") + struct.pack("<hhh", 1, len(names), traces.shape[1])
    for i, (name, kind) in enumerate(names):
        header += _qstring(name) + _qstring(name) + struct.pack("<hhhhhhhhhhff", i, i, kind, 1, i, *[0] * 5, 0, 0)
    blocks = np.zeros(
        len(traces) // 128,
        [("time", "<i4", 128), ("amplifier", "<u2", (traces.shape[1], 128)), ("aux", "<u2", 32), ("supply", "<u2")],
    )
    blocks["time"] = np.arange(len(traces)).reshape(-1, 128)
    blocks["amplifier"] = (traces.astype(int) + 32768).reshape(-1, 128, traces.shape[1]).transpose(0, 2, 1)
    path.write_bytes(header + blocks.tobytes())


def write_blackrock(path, traces, *, period=1):
    """Write an .nsX file (version 2.3) with a gain of 0.25 uV; period is in samples of 30 kHz."""
    channels = traces.shape[1]
    header = struct.pack(
        "<8sBBI16s256sII8HI", b"NEURALCD", 2, 3, 314 + 66 * channels, b"", b"", period, 30000, *[1] * 8, channels
    )
    for i in range(channels):
        label = f"chan{i + 1}".encode()
        ranges = (-32764, 32764, -8191, 8191)  # of integers, of uV
        header += struct.pack("<2sH16sBB4h16sIIHIIH", b"CC", i + 1, label, 1, i, *ranges, b"uV", *[0] * 6)
    path.write_bytes(header + struct.pack("<BII", 1, 0, len(traces)) + traces.tobytes())


def write_neuralynx(folder, traces, *, first=1, sampling_frequency=32000):
    """Write one .ncs file per channel with a gain of 0.25 uV; traces must be of records of 512 samples."""
    folder.mkdir(exist_ok=True)
    records = np.zeros(
        len(traces) // 512,
        [("timestamp", "<u8"), ("channel", "<u4"), ("rate", "<u4"), ("n", "<u4"), ("samples", "<i2", 512)],
    )
    records["timestamp"] = 1_000_000 + np.arange(len(records)) * 512 * 1_000_000 // sampling_frequency
    records["rate"], records["n"] = sampling_frequency, 512
    for i, samples in enumerate(traces.T, first):
        header = (
            "######## Neuralynx Data File Header\r\n-FileType NCS\r\n-FileVersion 3.4\r\n-RecordSize 1044\r\n"
            "-TimeCreated 2026/01/01 10:00:00\r\n-TimeClosed 2026/01/01 10:00:01\r\n"
            '-ApplicationName Cheetah "6.3.2"\r\n-AcquisitionSystem AcqSystem1 DigitalLynxSX\r\n'
            "-HardwareSubSystemType DigitalLynxSX\r\n-ADMaxValue 32767\r\n-ADBitVolts 0.00000025\r\n"
            f"-SamplingFrequency {sampling_frequency}\r\n-AcqEntName CSC{i}\r\n-NumADChannels 1\r\n-ADChannel {i}\r\n"
            "-InputRange 8192\r\n-InputInverted False\r\n"
        )
        records["channel"], records["samples"] = i, samples.reshape(-1, 512)
        (folder / f"CSC{i}.ncs").write_bytes(header.encode().ljust(16384, b"\0") + records.tobytes())


def write_nwb(path, recording, series):
    """Write traces of a recording as series: (name, sampling frequency) each; gives what was written."""
    pynwb = pytest.importorskip("pynwb")
    nwb = pynwb.NWBFile("s", "i", datetime(2026, 1, 1, tzinfo=timezone.utc))
    device = nwb.create_device("probe")
    group = nwb.create_electrode_group("g", description="d", location="l", device=device)
    for name in ("rel_x", "rel_y"):
        nwb.add_electrode_column(name, "position on the probe")
    for x, y in recording.get_channel_locations():
        nwb.add_electrode(group=group, location="l", rel_x=float(x), rel_y=float(y))
    region = nwb.create_electrode_table_region(list(range(4)), "all")
    traces = {}
    for i, (name, rate) in enumerate(series):
        traces[name] = recording.get_traces(start_frame=1000 * i, end_frame=1000 * (i + 1))
        nwb.add_acquisition(pynwb.ecephys.ElectricalSeries(name, traces[name], region, rate=rate))
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return traces


def write_probe(folder, suffix):
    """Write a probe of four contacts, wired backwards."""
    probe = generate_linear_probe(4, ypitch=25)
    probe.set_device_channel_indices([3, 2, 1, 0])
    path = folder / f"probe{suffix}"
    if suffix == ".prb":
        group = ProbeGroup()
        group.add_probe(probe)
        write_prb(path, group)
    else:
        write_probeinterface(path, probe)
    return path


class Harm:
    """Makes a folder when it is read from a pickle."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)
