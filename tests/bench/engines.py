"""Builds Cygnet and the Rust workers, and converts models to what each engine takes."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import cache
import models

HERE = Path(__file__).resolve().parent
PACKAGES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai-edge-litert",
    "ncnn": "ncnn",
    "mnn": "mnn",
    "tract": "tract",
}


def versions(repository: Path, as_is: bool) -> dict[str, str]:
    """Version of every engine; with `as_is` nobody knows the revision of Cygnet's binaries."""
    found = {engine: importlib.metadata.version(package) for engine, package in PACKAGES.items()}
    lock = (HERE / "worker" / "Cargo.lock").read_text().split("[[package]]")
    for engine, crate in (("rten", "rten"), ("cygnet", "cygnet-runtime")):
        entry = next(e for e in lock if f'name = "{crate}"\n' in e)
        found[engine] = entry.split('version = "')[1].split('"')[0]
    revision = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    if as_is:
        found["cygnet"] += " (binaries as they were)"
    elif revision.returncode == 0:
        found["cygnet"] += f" ({revision.stdout.strip()})"
    return found


def build(repository: Path, engines: list[str], as_is: bool) -> dict[str, Path]:
    """The compiler (`compiler`) and the Rust workers by engine, built when needed."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or repository / "target")
    workers = target / "bench"
    if not as_is:
        manifest = str(HERE / "worker" / "Cargo.toml")
        bins = [word for e in ("empty", "cygnet", "rten") if e == "empty" or e in engines for word in ("--bin", e)]
        commands = [["--manifest-path", manifest, "--target-dir", str(workers), *bins]]
        if "cygnet" in engines:
            commands.append(["--manifest-path", str(repository / "Cargo.toml"), "-p", "cygnet"])
        for command in commands:
            subprocess.run(["cargo", "build", "--release", *command], check=True)
    binaries = {e: workers / "release" / e for e in ("empty", "cygnet", "rten")}
    binaries["compiler"] = target / "release" / "cygnet"
    binaries["bundles"] = workers / "bundles"
    return binaries


def rust_sizes(binaries: dict[str, Path]) -> dict[str, int]:
    """What linking an engine adds to a stripped binary."""
    empty = binaries["empty"].stat().st_size
    return {e: binaries[e].stat().st_size - empty for e in ("cygnet", "rten") if binaries[e].exists()}


def newer(path: Path, *sources: Path) -> bool:
    """Whether `path` exists and is newer than its sources."""
    return path.exists() and all(path.stat().st_mtime >= s.stat().st_mtime for s in sources)


def call(command: list[str], folder: Path, log: Path, **more: str) -> str | None:
    """Runs a converter; the end of its words when it fails."""
    try:
        with open(log, "wb") as out:
            done = subprocess.run(
                command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, timeout=900, env={**os.environ, **more}
            )
    except (subprocess.TimeoutExpired, OSError) as error:
        return str(error)[:400]
    if done.returncode == 0:
        return None
    lines = [l for l in log.read_text(errors="replace").splitlines() if l.strip()]
    return "\n".join(lines[-6:])[-600:] or f"exit code {done.returncode}"


def to_cygnet(folder: Path, spec: dict, binaries: dict[str, Path]) -> str | None:
    """`cygnet compile` with its defaults."""
    # Beside the compiler: the cache is shared by checkouts, bundles are not.
    out = binaries["bundles"] / f"{folder.name}.cygnet"
    out.parent.mkdir(parents=True, exist_ok=True)
    spec["cygnet"] = str(out)
    if newer(out, folder / "model.onnx", binaries["compiler"]):
        return None
    out.unlink(missing_ok=True)
    return call([str(binaries["compiler"]), "compile", "model.onnx", "-o", str(out)], folder, out.with_suffix(".log"))


def to_mnn(folder: Path, spec: dict, _: dict[str, Path]) -> str | None:
    """mnnconvert with its defaults (float32 weights)."""
    out = folder / "model.mnn"
    spec["mnn"] = str(out)
    if newer(out, folder / "model.onnx"):
        return None
    out.unlink(missing_ok=True)
    tool = Path(sysconfig.get_path("scripts")) / "mnnconvert"
    command = [str(tool), "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", str(out), "--bizCode", "bench"]
    reason = call(command, folder, folder / "mnn.log")
    return reason or (None if out.exists() else "mnnconvert writes no model")


def to_ncnn(folder: Path, spec: dict, _: dict[str, Path]) -> str | None:
    """pnnx, weights kept in float32."""
    if spec["precision"] == "int8":
        # Its integers come from its own calibration of a float model; pnnx leaves a QDQ graph in floats.
        return "ncnn takes no quantised ONNX"
    work = folder / "pnnx"
    files = [work / "model.ncnn.param", work / "model.ncnn.bin"]
    spec["ncnn"] = [str(f) for f in files]
    if newer(files[0], folder / "model.onnx"):
        return None
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    shutil.copy(folder / "model.onnx", work)
    suffix = {"float32": "f32", "int64": "i64"}
    shapes = ",".join(f"[{','.join(map(str, i['shape']))}]{suffix[i['dtype']]}" for i in spec["inputs"])
    package = Path(sysconfig.get_path("purelib")) / "pnnx"
    tool = next((p for p in package.rglob("pnnx*") if p.is_file() and p.stem == "pnnx" and os.access(p, os.X_OK)), None)
    if tool is None:
        return "pnnx has no program for this machine"
    reason = call([str(tool), "model.onnx", f"inputshape={shapes}", "fp16=0"], work, folder / "ncnn.log")
    return reason or (None if all(f.exists() for f in files) else "pnnx writes no model")


def tensorflow() -> Path:
    """The Python of an environment of its own: TensorFlow pins other versions than the rest."""
    environment = cache.root() / "bench" / "venv-tensorflow"
    python = environment / "bin" / "python"
    wanted = (HERE / "requirements-tensorflow.txt").read_text()
    stamp = environment / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"bench: installing TensorFlow in {environment}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(HERE / "requirements-tensorflow.txt")], check=True)
        stamp.write_text(wanted)
    return python


def to_tflite(folder: Path, spec: dict, _: dict[str, Path]) -> str | None:
    """tflite.py, through TensorFlow; quantised models by tflite_int8.py, integer by integer."""
    out, layout = folder / "model.tflite", folder / "tflite_layout.json"
    integers = spec["precision"] == "int8"
    script = HERE / ("tflite_int8.py" if integers else "tflite.py")
    spec["tflite"] = str(out)
    digest = hashlib.sha256(script.read_bytes()).hexdigest()
    known = json.loads(layout.read_text()).get("made_by") if layout.exists() else None
    if known != digest or not newer(out, folder / "model.onnx"):
        out.unlink(missing_ok=True)
        if integers:
            command = [sys.executable, str(script), "model.onnx", str(out), str(layout)]
        else:
            models.folded(folder / "model.onnx", folder / "basic.onnx")
            command = [str(tensorflow()), str(script), "basic.onnx", str(out), str(layout)]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        reason = call(command, folder, folder / "tflite.log", **quiet)
        if reason:
            return reason
        layout.write_text(json.dumps({**json.loads(layout.read_text()), "made_by": digest}) + "\n")
    spec["tflite_layout"] = json.loads(layout.read_text())
    return None


CONVERTERS = {
    "cygnet": ("cygnet", to_cygnet),
    "mnn": ("mnn", to_mnn),
    "ncnn": ("ncnn", to_ncnn),
    "litert": ("tflite", to_tflite),
}


def convert(folder: Path, engines: list[str], binaries: dict[str, Path]) -> Path:
    """Makes the files that the engines need; the specification of this run, with the reasons of failures."""
    spec = json.loads((folder / "spec.json").read_text())
    for engine in engines:
        if engine not in CONVERTERS:
            continue
        key, converter = CONVERTERS[engine]
        reason = converter(folder, spec, binaries)
        if reason:
            print(f"{folder.name}: no {key} model: {' '.join(reason.split())}", file=sys.stderr)
            spec[key], spec[f"{key}_error"] = None, reason
    path = binaries["bundles"] / f"{folder.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec, indent=1) + "\n")
    return path
