"""Folders that say what is in their files: by split, and by class."""

from pathlib import Path

from layerwright.errors import DataError

_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folders of the splits; the folder itself is "train" where it has none."""
    names = {folder.name.lower(): folder for folder in root.iterdir() if folder.is_dir()}
    found = {
        split: names[spelling]
        for split, spellings in _SPLIT_FOLDERS.items()
        for spelling in spellings
        if spelling in names
    }
    return found if "train" in found else {"train": root}


def class_folders(root: Path, content: str) -> list[Path]:
    """Return the subfolders of `root`, each of which is a class, in the order of their names.

    Args:
        root: the folder.
        content: what the subfolders should hold, such as "images", for the message.

    Raises:
        DataError: there is none.
    """
    folders = sorted(
        folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")
    )
    if not folders:
        raise DataError(
            f"the folder {root} expected one subfolder of {content} for each class, received none. "
            f"Fix: sort the {content} into folders named after their classes."
        )
    return folders
