"""Where the test data lies: `.cache/models` in the repository, or the folder that CYGNET_CACHE names."""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def root() -> Path:
    """The cache folder, made when missing."""
    folder = Path(os.environ.get("CYGNET_CACHE") or REPOSITORY / ".cache" / "models")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def need(path: Path, command: str) -> Path:
    """`path` when it exists, otherwise the end of the program with the command that makes it."""
    if not path.exists():
        sys.exit(f"error: {path} is missing\n  run: {command}")
    return path
