#!/usr/bin/env python3
"""Makes the labelled sets on which quantised models are judged, in `accuracy/` of the cache folder.

lines/        lines of text for the recogniser, uint8 BGR [48, width, 3] each, and lines.json: [{"file", "text", "kind"}]
              with the kinds `calibration`, `rendered` and `photographed` (perspective, shade, blur, noise, JPEG)

Every set is made from fixed seeds; calibration shares no item with what is judged. Needs the DejaVu and Noto fonts.
Usage: tests/make_accuracy.py
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import cache

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


def main() -> None:
    """Writes all sets."""
    root = cache.root() / "accuracy"
    root.mkdir(exist_ok=True)
    lines(root)


if __name__ == "__main__":
    main()
