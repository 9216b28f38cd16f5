#!/usr/bin/env python3
"""Makes the embedded digits of `cygnet demo`, compiler/cli/data/digits-*.idx, from the copy of the UCI data set "Optical
Recognition of Handwritten Digits" in the package scikit-learn 1.9.1. The outcome is committed, so this script runs only when
the data shall change. Usage: tests/make_optdigits.py WHEEL, where WHEEL was fetched by `pip download scikit-learn==1.9.1`.
"""

import gzip
import hashlib
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

TABLE = "sklearn/datasets/data/digits.csv.gz"
DIGEST = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
OUT = Path(__file__).parent.parent / "compiler/cli/data"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        table = wheel.read(TABLE)
    found = hashlib.sha256(table).hexdigest()
    if found != DIGEST:
        sys.exit(f"error: {TABLE} of {sys.argv[1]} has the digest {found}, not {DIGEST}")
    rows = np.loadtxt(gzip.decompress(table).decode().splitlines(), delimiter=",").astype(int)
    pixels = np.minimum(rows[:, :64] * 16, 255).astype(np.uint8)
    labels = rows[:, 64].astype(np.uint8)
    head = struct.pack(">IIII", 0x803, len(rows), 8, 8)
    (OUT / "digits-images.idx").write_bytes(head + pixels.tobytes())
    head = struct.pack(">II", 0x801, len(rows))
    (OUT / "digits-labels.idx").write_bytes(head + labels.tobytes())


if __name__ == "__main__":
    main()
