"""Find recordings whose true spikes are known."""

from pathlib import Path


def find_folders(data):
    """Find the subfolders that hold a recording and its true sorting.

    Parameters
    ----------
    data : str or Path
        Holds `NAME/recording` and `NAME/sorting` for each recording.

    Returns
    -------
    folders : list of Path
        In the order of their names.

    Raises
    ------
    ValueError
        If `data` isn't a folder, or has no such subfolder.
    """
    if not Path(data).is_dir():
        raise ValueError(f"{data} isn't a folder")
    folders = sorted(p for p in Path(data).iterdir() if (p / "recording").exists() and (p / "sorting").exists())
    if not folders:
        raise ValueError(f"{data} has no subfolder with a recording and a sorting")
    return folders
