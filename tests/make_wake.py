#!/usr/bin/env python3
"""Trains `tests/data/wake.onnx`, a streaming wake word of some 5,000 weights, and writes frames to test it on.

The word is "cygnet", said by espeak-ng among other words, in many voices, with noise. A step takes one frame of 24 log-mel
energies (32 ms of sound at 16 kHz, a new frame every 20 ms) and gives the log odds that the word has just ended. What a
convolution remembers of frames before is a state of the model (`cygnet compile --state state_0:next_0 ...`): 1.3 s in all.

`wake_yes.npy` and `wake_no.npy` are frames of two sentences, with the word and without it but with words that sound alike,
in a voice that training has not heard; `wake_calibration.npy` are frames of other sentences. Seeded; the outcome is
committed, so this script runs only when the model shall change. Needs espeak-ng, the packages of tests/requirements.txt and
PyTorch (2.15 made the committed model). Usage: tests/make_wake.py
"""

import itertools

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import cache
from make_inputs import RATE, spoken

DATA = cache.REPOSITORY / "tests" / "data"
WORD = "cygnet"
OTHERS = (
    "signal magnet planet cabinet silent cricket ticket basket sunset city dignity signature minute senate linnet signed net "
    "sicken cigarette secret six hundred single signing magnetic pick it negative ignite sit gnat morning water yellow open "
    "window music seven light off kitchen timer weather today please listen hello wake up stop volume never swan bird river"
).split()
LANGUAGES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
HEARD = ("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "Andrea", "Annie", "Diogo", "Michael", "Alex", "Lee", "Linda")
# Voices of the tests.
UNHEARD = ("m7", "f4", "Belinda", "Mario")
BINS, WINDOW, HOP = 24, 512, 320
CHANNELS, TAPS, DILATIONS = 24, 5, (1, 2, 4, 8)
STREAMS, SECONDS, EPOCHS, BATCH = 1000, 3.2, 25, 25
# Of the log odds.
THRESHOLD = 0.0
# Frames around the end of the word in which the score should be high, and in which nothing is asked of it.
EARLY, LATE, SPARE = 1, 8, 14


def mel_bank() -> np.ndarray:
    """Triangles over the bins of a spectrum, evenly spread in mel from 100 to 7,600 Hz."""
    mel = lambda f: 2595 * np.log10(1 + f / 700)
    centres = 700 * (10 ** (np.linspace(mel(100), mel(7600), BINS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    low, middle, high = centres[:-2, None], centres[1:-1, None], centres[2:, None]
    return np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))


def frames(sound: np.ndarray) -> np.ndarray:
    """Log-mel energies [frames, bins] of sound in 16-bit units; about -2 to 2, in steps of 1/64."""
    count = 1 + (len(sound) - WINDOW) // HOP
    cut = sound[np.arange(count)[:, None] * HOP + np.arange(WINDOW)] / 32768
    power = np.abs(np.fft.rfft(cut * np.hanning(WINDOW))) ** 2
    energy = np.log10(power @ mel_bank().T + 1e-4)
    return (np.round((energy + 1.5) / 2 * 64) / 64).astype(np.float32)


def trimmed(sound: np.ndarray) -> np.ndarray:
    """Without the silence at both ends."""
    loud = np.flatnonzero(np.abs(sound) > 300)
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


class Speaker:
    """Says words in a random voice, each of which is made once."""

    def __init__(self, variants: tuple[str, ...], random: np.random.Generator):
        self.voices = [f"{a}+{b}" for a, b in itertools.product(LANGUAGES, variants)]
        self.random = random
        self.said: dict[tuple, np.ndarray] = {}

    def voice(self) -> tuple[str, int, int]:
        """A voice with speed and pitch."""
        r = self.random
        return str(r.choice(self.voices)), int(r.choice([135, 165])), int(r.choice([40, 60]))

    def say(self, word: str, voice: tuple[str, int, int]) -> np.ndarray:
        """A word, without silence around it."""
        key = (word, *voice)
        if key not in self.said:
            self.said[key] = trimmed(spoken(word, *voice))
        return self.said[key]

    def stream(self, with_word: bool) -> tuple[np.ndarray, np.ndarray]:
        """Frames of words with gaps and noise, and for each frame 1 (word), 0 (none) or -1 (either)."""
        r = self.random
        length = int(SECONDS * RATE)
        sound, labels = np.zeros(length), None
        voice, at, spoke = self.voice(), int(r.integers(0, RATE // 2)), None
        slot = int(r.integers(0, 3)) if with_word else -1
        for i in range(12):
            word = WORD if i == slot else str(r.choice(OTHERS))
            said = self.say(word, voice)
            if at + len(said) > length:
                break
            sound[at : at + len(said)] += said
            if i == slot:
                spoke = (at, at + len(said))
            at += len(said) + int(r.integers(RATE // 50, RATE // 2))
        sound *= 10 ** r.uniform(-0.6, 0.1)
        noise = r.normal(0, 1, length)
        if r.random() < 0.5:
            noise = np.convolve(noise, np.ones(6) / 6, "same")
        sound += noise * 10 ** r.uniform(0, 2.3)
        x = frames(np.clip(sound, -32768, 32767))
        labels = np.zeros(len(x), np.float32)
        if spoke:
            # The last frame that holds some of the word.
            begin, end = spoke[0] // HOP, spoke[1] // HOP
            labels[begin : end + SPARE] = -1
            labels[end - EARLY : end + LATE] = 1
        return x, labels


class Wake(nn.Module):
    """A convolution over three frames, then depthwise ones over more and more distant frames; all look back only."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(BINS, CHANNELS, 3)
        self.depthwise = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, TAPS, dilation=d, groups=CHANNELS) for d in DILATIONS)
        self.pointwise = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 1) for _ in DILATIONS)
        self.last = nn.Conv1d(CHANNELS, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [streams, frames] of frames [streams, bins, frames]."""
        x = torch.relu(self.first(nn.functional.pad(x, (2, 0))))
        for depthwise, pointwise, dilation in zip(self.depthwise, self.pointwise, DILATIONS):
            x = depthwise(nn.functional.pad(x, ((TAPS - 1) * dilation, 0)))
            x = torch.relu(pointwise(x))
        return self.last(x)[:, 0]


def train(random: np.random.Generator) -> Wake:
    """The model, with what it makes of voices that it has not heard."""
    torch.manual_seed(int(random.integers(1 << 31)))
    torch.set_num_threads(1)
    teacher = Speaker(HEARD, random)
    streams = [teacher.stream(i % 2 == 0) for i in range(STREAMS)]
    x = torch.tensor(np.stack([s[0].T for s in streams]))
    labels = torch.tensor(np.stack([s[1] for s in streams]))
    wake = Wake()
    optimiser = torch.optim.AdamW(wake.parameters(), 4e-3, weight_decay=1e-3)
    steps = EPOCHS * (STREAMS // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(STREAMS)[: STREAMS // BATCH * BATCH].split(BATCH):
            want = labels[batch]
            loss = nn.functional.binary_cross_entropy_with_logits(wake(x[batch]), want.clamp(min=0), reduction="none")
            loss = (loss * (want >= 0) * (1 + 3 * (want == 1))).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * BATCH / STREAMS
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1}: loss {total:.4f}", flush=True)
    judge = Speaker(UNHEARD, random)
    with torch.no_grad():
        found, wrong = [], []
        for i in range(300):
            x, want = judge.stream(i % 2 == 0)
            score = wake(torch.tensor(x.T)[None])[0].numpy()
            if (want == 1).any():
                found.append(score[want != 0].max() > THRESHOLD)
            wrong.append(score[want == 0].max() > THRESHOLD)
        print(f"unheard voices: {np.mean(found):.1%} of {len(found)} words found, false alarms in {np.mean(wrong):.1%} of 300 streams")
    return wake


def export(wake: Wake) -> None:
    """Writes the model with its states as inputs and outputs."""
    nodes, tensors, states, nexts = [], [], [], []

    def constant(name: str, value: np.ndarray) -> str:
        tensors.append(numpy_helper.from_array(value, name))
        return name

    def value(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def convolution(conv: nn.Conv1d, x: str, name: str) -> str:
        w, b = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        taps, dilation = w.shape[2], conv.dilation[0]
        if taps > 1:
            # What the convolution remembers.
            k, kept = len(states), (taps - 1) * dilation
            states.append(value(f"state_{k}", 1, conv.in_channels, 1, kept))
            nexts.append(value(f"next_{k}", 1, conv.in_channels, 1, kept))
            nodes.append(helper.make_node("Concat", [f"state_{k}", x], [f"{name}_seen"], axis=3))
            x = f"{name}_seen"
            end = constant(f"{name}_end", np.array([kept + 1]))
            nodes.append(helper.make_node("Slice", [x, "one", end, "three"], [f"next_{k}"]))
        inputs = [x, constant(f"{name}_w", w[:, :, None]), constant(f"{name}_b", b)]
        shape = {"kernel_shape": [1, taps], "dilations": [1, dilation], "group": conv.groups}
        nodes.append(helper.make_node("Conv", inputs, [name], name=name, **shape))
        return name

    def relu(x: str) -> str:
        nodes.append(helper.make_node("Relu", [x], [f"{x}_relu"]))
        return f"{x}_relu"

    constant("one", np.array([1]))
    constant("three", np.array([3]))
    x = relu(convolution(wake.first, "frame", "first"))
    for i, (depthwise, pointwise) in enumerate(zip(wake.depthwise, wake.pointwise)):
        x = convolution(depthwise, x, f"depthwise_{i}")
        x = relu(convolution(pointwise, x, f"pointwise_{i}"))
    convolution(wake.last, x, "score")
    inputs = [value("frame", 1, BINS, 1, 1), *states]
    graph = helper.make_graph(nodes, "wake", inputs, [value("score", 1, 1, 1, 1), *nexts], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, DATA / "wake.onnx")


def main() -> None:
    """Trains, exports and writes the frames."""
    random = np.random.default_rng(11)
    wake = train(random)
    export(wake)
    quiet = np.zeros(RATE // 4)

    def clip(name: str, *sayings: tuple[str, str, int, int]) -> None:
        sound = np.concatenate([quiet, *(part for s in sayings for part in (spoken(*s), quiet))])
        x = frames(sound + random.normal(0, 8, len(sound)))
        np.save(DATA / f"{name}.npy", x[:, :, None, None])
        with torch.no_grad():
            score = wake(torch.tensor(x.T)[None])[0]
        print(f"{name}: {len(x)} frames, highest score {score.max():.2f} at frame {score.argmax()}")

    clip("wake_yes", ("please cygnet, open the window", "en-gb-x-rp+f4", 150, 55))
    clip("wake_no", ("the signal of the magnet was silent", "en-gb-x-rp+f4", 150, 55))
    clip(
        "wake_calibration",
        ("cygnet, turn off the kitchen light", "en-us+m3", 160, 45),
        ("a ticket to the city, cygnet", "en-gb-scotland+f2", 150, 60),
    )


if __name__ == "__main__":
    main()
