#!/usr/bin/env python3
"""Runs ONNX Runtime on the test inputs and writes what it answers to `expect/` of the cache folder.

expect/index.json lists the cases: {"model", "case", "inputs": [{"name", "file"}], "outputs": [{"name", "file"}],
"dims": {NAME: [low, high]}, "shapes": {NAME: [extent or NAME of a dimension]}, "constants": {NAME: file},
"states": {INPUT: OUTPUT}, "steps": number of runs, "text": what a recogniser must read, "quantum": one quantisation step
of the output}. With "steps", arrays have one
more leading axis: the run; inputs that are states start at zero and are not listed.

Before anything is written the answers themselves are checked: the recogniser must read the rendered lines, the voice
detector must tell speech from silence, sentences of like meaning must lie near each other, digits must be read.
Usage: tests/expect.py
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

import cache
from make_models import SEEDED

ROOT = cache.root()
INPUTS = ROOT / "inputs"
SILERO = ("silero_vad_openvino_16k", "silero_vad_16k_op15", "silero_vad_op18_ifless", "silero_vad_half", "silero_vad")
LIGHT = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
# The first two mean the same, the third does not; the fourth has another length again.
SENTENCES = (
    "the cat sits on the mat",
    "a cat is sitting on a mat",
    "the stock market fell sharply in the last hour of trading",
    "hello",
)
# One 32 ms window at 16 kHz with the last 4 ms of the window before it, as silero-vad's own wrapper feeds it.
WINDOW, CONTEXT = 512, 64


class Cases:
    """The cases written so far."""

    def __init__(self) -> None:
        self.index: list[dict] = []

    def add(self, model: str, case: str, feeds: dict, outputs: dict, **more: object) -> None:
        """Writes the arrays of one case."""
        folder = ROOT / "expect" / model.replace("/", "_").removesuffix(".onnx") / case
        folder.mkdir(parents=True, exist_ok=True)
        entry: dict = {"model": model, "case": case}
        for kind, arrays in (("input", feeds), ("output", outputs)):
            entry[kind + "s"] = []
            for i, (name, array) in enumerate(arrays.items()):
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    sys.exit(f"error: {model} {case}: {name} is not finite")
                path = folder / f"{kind}_{i}.npy"
                np.save(path, array)
                entry[kind + "s"].append({"name": name, "file": str(path.relative_to(ROOT))})
        constants: dict = more.pop("constants", {})  # type: ignore[assignment]
        entry["constants"] = {}
        for i, (name, array) in enumerate(constants.items()):
            path = folder / f"constant_{i}.npy"
            np.save(path, array)
            entry["constants"][name] = str(path.relative_to(ROOT))
        entry.update(more)
        self.index.append(entry)

    def write(self) -> None:
        """Writes the index."""
        path = ROOT / "expect" / "index.json"
        path.write_text(json.dumps(self.index, indent=1) + "\n")
        print(f"expect: {len(self.index)} cases are in {path.parent}")


def session(path: Path) -> onnxruntime.InferenceSession:
    """A quiet two-thread CPU session."""
    cache.need(path, "tests/fetch.py && tests/make_models.py")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    # Without it 16-bit sums of 8-bit products saturate on processors older than AVX-512-VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(s: onnxruntime.InferenceSession, feeds: dict) -> dict:
    """The outputs by name."""
    return dict(zip([o.name for o in s.get_outputs()], s.run(None, feeds)))


def picture(name: str) -> Image.Image:
    """An input picture, RGB."""
    return Image.open(cache.need(INPUTS / name, "tests/make_inputs.py")).convert("RGB")


def detection(cases: Cases) -> None:
    """PP-OCRv4 detection: BGR, sides rounded to multiples of 32, ImageNet mean and deviation."""
    s = session(ROOT / "ppocr" / "det.onnx")
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    deviation = np.array([0.229, 0.224, 0.225], np.float32)
    for name in ("page_0", "page_1", "photo_page", "photo_astronaut"):
        source = picture(f"{name}.png")
        wide, high = (max(32, round(side / 32) * 32) for side in source.size)
        pixels = np.asarray(source.resize((wide, high), Image.Resampling.BILINEAR), np.float32)[..., ::-1] / 255
        x = np.ascontiguousarray(((pixels - mean) / deviation).transpose(2, 0, 1)[None])
        outputs = run(s, {"x": x})
        found = float((next(iter(outputs.values())) > 0.3).mean())
        if found < 0.02 and name != "photo_astronaut":
            sys.exit(f"error: detection finds text on only {found:.1%} of {name}")
        cases.add("ppocr/det.onnx", name, {"x": x}, outputs, shapes={"x": [1, 3, high, wide]})


def read(probabilities: np.ndarray, characters: list[str]) -> str:
    """Greedy CTC decoding (Graves et al. 2006): the best class a step, repeats merged, blanks dropped."""
    best = probabilities[0].argmax(-1)
    kept = [c for i, c in enumerate(best) if c != 0 and (i == 0 or c != best[i - 1])]
    return "".join(characters[c - 1] for c in kept)


def recognition(cases: Cases) -> None:
    """PP-OCRv4 recognition and direction: BGR, height 48, values -1 to 1."""
    texts = json.loads((INPUTS / "lines.json").read_text())
    recogniser, direction = session(ROOT / "ppocr" / "rec.onnx"), session(ROOT / "ppocr" / "cls.onnx")
    characters = recogniser.get_modelmeta().custom_metadata_map["character"].splitlines() + [" "]
    for i, text in enumerate(texts):
        source = picture(f"line_{i}.png")
        bgr = (np.asarray(source, np.float32)[..., ::-1] / 255 - 0.5) / 0.5
        x = np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])
        outputs = run(recogniser, {"x": x})
        got = read(next(iter(outputs.values())), characters)
        if got.replace(" ", "") != text.replace(" ", ""):
            sys.exit(f"error: the recogniser reads {got!r} where the line says {text!r}")
        more = {"dims": {"width": [32, 1280]}, "shapes": {"x": [1, 3, 48, "width"]}, "text": got}
        cases.add("ppocr/rec.onnx", f"line_{i}", {"x": x}, outputs, **more)
    narrow = np.ascontiguousarray(x[..., :32])
    cases.add("ppocr/rec.onnx", "narrow", {"x": narrow}, run(recogniser, {"x": narrow}), **{**more, "text": None})
    wide = np.zeros((1, 3, 48, 1280), np.float32)
    wide[..., : x.shape[-1]] = x[..., :1280]
    cases.add("ppocr/rec.onnx", "widest", {"x": wide}, run(recogniser, {"x": wide}), **{**more, "text": None})

    for i in (1, 4):
        for turned in (False, True):
            source = picture(f"line_{i}.png")
            source = source.rotate(180) if turned else source
            source = source.resize((min(192, source.width), 48), Image.Resampling.BILINEAR)
            x = np.zeros((1, 3, 48, 192), np.float32)
            x[0, :, :, : source.width] = ((np.asarray(source, np.float32)[..., ::-1] / 255 - 0.5) / 0.5).transpose(2, 0, 1)
            outputs = run(direction, {"x": x})
            if (next(iter(outputs.values()))[0].argmax() == 1) != turned:
                sys.exit(f"error: the direction of line {i} (turned: {turned}) is taken for the other")
            case = f"line_{i}_{'turned' if turned else 'upright'}"
            cases.add("ppocr/cls.onnx", case, {"x": x}, outputs, shapes={"x": [1, 3, 48, 192]})


def voice(cases: Cases) -> None:
    """silero-vad over the speech, window by window with its state."""
    with wave.open(str(cache.need(INPUTS / "speech.wav", "tests/make_inputs.py"))) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float32) / 32768
    steps = len(samples) // WINDOW
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), samples])
    windows = np.stack([padded[i * WINDOW : i * WINDOW + CONTEXT + WINDOW] for i in range(steps)])[:, None]
    for name in SILERO:
        s = session(ROOT / "silero" / f"{name}.onnx")
        constants = {i.name: np.array(16000, np.int64) for i in s.get_inputs() if i.name == "sr"}
        state = np.zeros((2, 1, 128), np.float32)
        speech, states = [], []
        for window in windows:
            outputs = run(s, {"input": window, "state": state, **constants})
            state = outputs["stateN"]
            speech.append(outputs["output"])
            states.append(state)
        probability = np.stack(speech)[:, 0, 0]
        talking = float((probability > 0.5).mean())
        if not 0.3 < talking < 0.95 or probability[:20].max() > 0.5:
            sys.exit(f"error: {name} hears speech in {talking:.0%} of the windows, {probability[:20].max():.2f} in silence")
        cases.add(
            f"silero/{name}.onnx",
            "speech",
            {"input": windows},
            {"output": np.stack(speech), "stateN": np.stack(states)},
            shapes={"input": [1, CONTEXT + WINDOW], "state": [2, 1, 128]},
            constants=constants,
            states={"state": "stateN"},
            steps=steps,
        )


def quantum(path: Path) -> float:
    """The scale of the DequantizeLinear that gives the output of a quantised model."""
    graph = onnx.load(path).graph
    last = next(n for n in graph.node if n.output[0] == graph.output[0].name)
    if last.op_type != "DequantizeLinear":
        sys.exit(f"error: {path.name} ends in {last.op_type}")
    return float(next(onnx.numpy_helper.to_array(i) for i in graph.initializer if i.name == last.input[1]))


def photographs(cases: Cases) -> None:
    """ImageNet classifiers: RGB, 224 x 224, ImageNet mean and deviation."""
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    deviation = np.array([0.229, 0.224, 0.225], np.float32)

    def prepare(name: str) -> np.ndarray:
        pixels = np.asarray(picture(name).resize((224, 224), Image.Resampling.BILINEAR), np.float32) / 255
        return np.ascontiguousarray(((pixels - mean) / deviation).transpose(2, 0, 1)[None])

    for model in ("mobilenetv2", "resnet18"):
        s = session(ROOT / "made" / f"{model}.onnx")
        for name in ("astronaut", "coffee", "chelsea"):
            x = prepare(f"photo_{name}.png")
            cases.add(f"made/{model}.onnx", name, {"input": x}, run(s, {"input": x}))
    for model, names in (("mobilenetv2_int8", ("astronaut", "coffee", "chelsea")), ("resnet18_int8", ("coffee",))):
        path = ROOT / "made" / f"{model}.onnx"
        s = session(path)
        step = quantum(path)
        for name in names:
            x = prepare(f"photo_{name}.png")
            cases.add(f"made/{model}.onnx", name, {"input": x}, run(s, {"input": x}), quantum=step)
    paths = [f"onnx/light/light_{name}.onnx" for name in LIGHT] + [f"made/seeded_{name}.onnx" for name in SEEDED]
    for path in paths:
        s = session(ROOT / path)
        first = s.get_inputs()[0]
        x = prepare("photo_coffee.png")
        if list(first.shape) != list(x.shape):
            sys.exit(f"error: {path} takes {first.shape}")
        cases.add(path, "coffee", {first.name: x}, run(s, {first.name: x}))


def tokens(text: str, vocabulary: dict[str, int]) -> list[int]:
    """WordPiece, greedy longest match first (Wu et al. 2016), for lower-case words without punctuation."""
    ids = [vocabulary["[CLS]"]]
    for word in text.split():
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else "##" + word[start:end]
                if piece in vocabulary:
                    ids.append(vocabulary[piece])
                    start = end
                    break
            else:
                sys.exit(f"error: no word piece for {word!r}")
    return ids + [vocabulary["[SEP]"]]


def sentences(cases: Cases) -> None:
    """MiniLM on sentences of several lengths, and once with padding."""
    s = session(ROOT / "made" / "minilm.onnx")
    words = (ROOT / "minilm" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {word: i for i, word in enumerate(words)}
    more = {"dims": {"sequence": [1, 128]}}
    more["shapes"] = {name: [1, "sequence"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    vectors = []
    for i, text in enumerate(SENTENCES):
        ids = tokens(text, vocabulary)
        for pad in (0, 5) if i == 0 else (0,):
            mask = [1] * len(ids) + [0] * pad
            rows = {"input_ids": ids + [0] * pad, "attention_mask": mask, "token_type_ids": [0] * len(mask)}
            feeds = {name: np.array([row], np.int64) for name, row in rows.items()}
            outputs = run(s, feeds)
            cases.add("made/minilm.onnx", f"sentence_{i}{'_padded' if pad else ''}", feeds, outputs, **more)
            if pad == 0:
                mean = outputs["last_hidden_state"][0].mean(0)
                vectors.append(mean / np.linalg.norm(mean))
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    if near < 0.8 or far > 0.4:
        sys.exit(f"error: like sentences have cosine {near:.2f}, unlike ones {far:.2f}")


def digits(cases: Cases) -> None:
    """The small committed model on its ten committed pictures; also recorded in the repository."""
    folder = cache.REPOSITORY / "tests" / "data"
    s = session(folder / "digits.onnx")
    rows, pixels = [], []
    for digit in range(10):
        pixels.append(np.asarray(Image.open(folder / f"digit_{digit}.png")))
        ink = pixels[-1].astype(np.float32)[None, None] / 255
        outputs = run(s, {"image": ink})
        rows.append(outputs["probabilities"][0])
        if rows[-1].argmax() != digit:
            sys.exit(f"error: digit_{digit}.png is taken for {rows[-1].argmax()}")
        cases.add("digits.onnx", str(digit), {"image": ink}, outputs)
    recorded = folder / "digits_expected.npy"
    rows = np.stack(rows)
    np.save(folder / "digits_input.npy", np.stack(pixels))
    # Another ONNX Runtime may differ in the last bits: the recorded file changes only with the model.
    if not recorded.exists() or not np.allclose(np.load(recorded), rows, rtol=1e-4, atol=1e-6):
        np.save(recorded, rows)
        print(f"expect: {recorded} recorded anew")


def main() -> None:
    """Writes all cases."""
    cases = Cases()
    for part in (digits, detection, recognition, voice, photographs, sentences):
        part(cases)
    cases.write()


if __name__ == "__main__":
    main()
