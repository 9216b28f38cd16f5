#!/usr/bin/env python3
"""One process that holds one engine of PyPI and one model; the same protocol as the Rust workers in worker/.

worker.py ENGINE SPEC.json THREADS OUTPUT_DIR
    loads the model, runs it once, writes each output as raw floats to OUTPUT_DIR/N.bin and answers with a line of JSON.
    Then `run WARMUP COUNT` answers with COUNT times in nanoseconds, each around inputs set, inference, outputs fetched.

Every engine computes in float32, a quantised model in integers, on as many threads as told; what it would do on its own
(16-bit floats, all cores) is switched off.
"""

import json
import os
import sys
import time
from pathlib import Path

# Before any library starts its threads.
if len(sys.argv) == 5:
    os.environ["OMP_NUM_THREADS"] = sys.argv[3]
os.environ["GLOG_minloglevel"] = "2"

import numpy as np  # noqa: E402

Arrays = list[np.ndarray]


class Engine:
    """An engine: `start` imports its library, `open` loads the model, `run` gives the outputs."""

    def __init__(self, spec: dict, threads: int) -> None:
        self.spec, self.threads = spec, threads
        self.names = [i["name"] for i in spec["inputs"]]

    def start(self) -> None:
        """Imports the library."""

    def feed(self, arrays: Arrays) -> Arrays:
        """Arrays as the engine's graph takes them (once, not timed)."""
        return arrays

    def open(self) -> None:
        """Loads the model."""

    def run(self, arrays: Arrays) -> Arrays:
        """Sets the inputs, runs, fetches the outputs."""
        return []

    def natural(self, outputs: Arrays) -> Arrays:
        """Outputs as the ONNX graph has them (once, not timed)."""
        return outputs


class Empty(Engine):
    """A process without an engine."""


class OnnxRuntime(Engine):
    """ONNX Runtime, CPU provider, every optimisation (the default)."""

    def start(self) -> None:
        import onnxruntime

        self.library = onnxruntime

    def open(self) -> None:
        options = self.library.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        self.session = self.library.InferenceSession(self.spec["onnx"], options, providers=["CPUExecutionProvider"])

    def run(self, arrays: Arrays) -> Arrays:
        return self.session.run(None, dict(zip(self.names, arrays)))


class OpenVino(Engine):
    """OpenVINO, CPU plugin, latency hint."""

    def start(self) -> None:
        import openvino

        self.library = openvino

    def open(self) -> None:
        hints = {
            "INFERENCE_NUM_THREADS": self.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        model = self.library.Core().compile_model(self.spec["onnx"], "CPU", hints)
        self.request = model.create_infer_request()
        self.ports = [model.input(name) for name in self.names]
        self.outputs = model.outputs

    def run(self, arrays: Arrays) -> Arrays:
        results = self.request.infer(dict(zip(self.ports, arrays)))
        return [results[port] for port in self.outputs]


class LiteRt(Engine):
    """LiteRT's interpreter with its default delegate, XNNPACK; channels last inside and outside."""

    def start(self) -> None:
        from ai_edge_litert import interpreter

        self.library = interpreter

    def feed(self, arrays: Arrays) -> Arrays:
        layouts = self.spec["tflite_layout"]["inputs"]
        return [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) if l == "nhwc" else a for a, l in zip(arrays, layouts)]

    def open(self) -> None:
        self.interpreter = self.library.Interpreter(self.spec["tflite"], num_threads=self.threads)
        self.interpreter.allocate_tensors()
        # The converter orders tensors as it likes.
        layout = self.spec["tflite_layout"]
        self.inputs, self.outputs = layout["input_tensors"], layout["output_tensors"]

    def run(self, arrays: Arrays) -> Arrays:
        for index, array in zip(self.inputs, arrays):
            self.interpreter.set_tensor(index, array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]

    def natural(self, outputs: Arrays) -> Arrays:
        layouts = self.spec["tflite_layout"]["outputs"]
        return [o.transpose(0, 3, 1, 2) if l == "nhwc" else o for o, l in zip(outputs, layouts)]


class Ncnn(Engine):
    """ncnn on float32; pnnx names blobs in0.. and out0.., without the batch axis."""

    def start(self) -> None:
        import ncnn

        self.library = ncnn

    def feed(self, arrays: Arrays) -> Arrays:
        narrow = {"int64": np.int32}
        arrays = [a.astype(narrow.get(a.dtype.name, a.dtype)) for a in arrays]
        return [np.ascontiguousarray(a[0]) if a.ndim > 2 else np.ascontiguousarray(a) for a in arrays]

    def open(self) -> None:
        self.net = self.library.Net()
        options = self.net.opt
        options.num_threads = self.threads
        options.use_fp16_packed = False
        options.use_fp16_storage = False
        options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        for path, load in ((self.spec["ncnn"][0], self.net.load_param), (self.spec["ncnn"][1], self.net.load_model)):
            if load(path) != 0:
                raise RuntimeError(f"{Path(path).name} does not load")

    def run(self, arrays: Arrays) -> Arrays:
        extractor = self.net.create_extractor()
        for i, array in enumerate(arrays):
            extractor.input(f"in{i}", self.library.Mat(array))
        outputs = []
        for i in range(len(self.spec["outputs"])):
            status, blob = extractor.extract(f"out{i}")
            if status != 0:
                raise RuntimeError(f"extract gives {status}")
            outputs.append(np.array(blob))
        return outputs


class Mnn(Engine):
    """MNN's session on the CPU, high precision."""

    def start(self) -> None:
        import MNN

        self.library = MNN

    def open(self) -> None:
        mnn = self.library
        self.interpreter = mnn.Interpreter(self.spec["mnn"])
        self.session = self.interpreter.createSession({"numThread": self.threads, "precision": "high"})
        self.inputs = [self.interpreter.getSessionInput(self.session, name) for name in self.names]
        self.outputs = []
        for output in self.spec["outputs"]:
            tensor = self.interpreter.getSessionOutput(self.session, output["name"])
            shape = tensor.getShape()
            zeros = np.zeros(shape, np.float32)
            host = mnn.Tensor(shape, mnn.Halide_Type_Float, zeros, mnn.Tensor_DimensionType_Caffe)
            self.outputs.append((tensor, host))

    def run(self, arrays: Arrays) -> Arrays:
        mnn = self.library
        for tensor, array in zip(self.inputs, arrays):
            kind = mnn.Halide_Type_Int if array.dtype != np.float32 else mnn.Halide_Type_Float
            tensor.copyFrom(mnn.Tensor(array.shape, kind, array, mnn.Tensor_DimensionType_Caffe))
        status = self.interpreter.runSession(self.session)
        if status != 0:
            raise RuntimeError(f"runSession gives {status}")
        outputs = []
        for tensor, host in self.outputs:
            tensor.copyToHostTensor(host)
            outputs.append(np.array(host.getNumpyData(), np.float32))
        return outputs

    def feed(self, arrays: Arrays) -> Arrays:
        return [a if a.dtype == np.float32 else a.astype(np.int32) for a in arrays]


class Tract(Engine):
    """tract; its Python interface runs on one thread."""

    def start(self) -> None:
        if self.threads != 1:
            raise RuntimeError("the Python interface of tract runs on one thread")
        import tract

        self.library = tract

    def open(self) -> None:
        self.model = self.library.onnx().load(self.spec["onnx"]).into_model().into_runnable()

    def run(self, arrays: Arrays) -> Arrays:
        return [tensor.to_numpy() for tensor in self.model.run(arrays)]


ENGINES = {
    "empty": Empty,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "litert": LiteRt,
    "ncnn": Ncnn,
    "mnn": Mnn,
    "tract": Tract,
}


def status(field: str) -> int | None:
    """A field of /proc/self/status in bytes."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def native_libraries(engine: str) -> int | None:
    """Bytes of the native libraries of the engine's package that the process has mapped."""
    packages = {"litert": "ai_edge_litert", "mnn": "mnn"}
    wanted = f"/site-packages/{packages.get(engine, engine)}".lower()
    try:
        paths = {line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    except OSError:
        return None
    mine = [Path(p) for p in paths if wanted in p.lower() or (engine == "mnn" and "_mnncengine" in p)]
    return sum(p.stat().st_size for p in mine if ".so" in p.name)


def main() -> None:
    """Serves the controller until the input ends."""
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    name, spec, threads, folder = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), int(sys.argv[3]), sys.argv[4]

    # Libraries write to stdout as they like: answers go to a copy of it, everything else to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: dict) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        engine = ENGINES[name](spec, threads)
        arrays = [np.fromfile(i["file"], i["dtype"]).reshape(i["shape"]) for i in spec["inputs"]]
        bare_rss = status("VmRSS:")
        begin = time.perf_counter_ns()
        engine.start()
        import_ns = time.perf_counter_ns() - begin
        arrays = engine.feed(arrays)
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass
        base_rss = status("VmRSS:")
        begin = time.perf_counter_ns()
        engine.open()
        loaded = time.perf_counter_ns()
        outputs = engine.run(arrays)
        first = time.perf_counter_ns()
        peak_rss = status("VmHWM:")
        os.makedirs(folder, exist_ok=True)
        for i, output in enumerate(engine.natural(outputs)):
            np.ascontiguousarray(output, np.float32).tofile(Path(folder) / f"{i}.bin")
        answer(
            {
                "load_ns": loaded - begin,
                "first_ns": first - loaded,
                "import_ns": import_ns,
                "bare_rss": bare_rss,
                "base_rss": base_rss,
                "peak_rss": peak_rss,
                "library_bytes": native_libraries(name),
                "about": "",
            }
        )
        for line in sys.stdin:
            words = line.split()
            if len(words) != 3 or words[0] != "run":
                break
            for _ in range(int(words[1])):
                engine.run(arrays)
            times = []
            begin, cpu = time.perf_counter_ns(), time.process_time_ns()
            for _ in range(int(words[2])):
                start = time.perf_counter_ns()
                engine.run(arrays)
                times.append(time.perf_counter_ns() - start)
            wall_ns, cpu_ns = time.perf_counter_ns() - begin, time.process_time_ns() - cpu
            answer({"times": times, "wall_ns": wall_ns, "cpu_ns": cpu_ns})
    except Exception as error:  # noqa: BLE001: whatever an engine throws is the answer
        answer({"error": f"{type(error).__name__}: {error}"[:600]})
    finally:
        answers.flush()
        # Some engines crash while Python takes them down; the answers are out.
        os._exit(0)


if __name__ == "__main__":
    main()
