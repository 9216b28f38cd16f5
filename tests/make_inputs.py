#!/usr/bin/env python3
"""Makes the test inputs in `inputs/` of the cache folder: text rendered with real fonts, photographs, speech.

line_N.png, lines.json   single lines of text and what they say (recognition, direction)
page_N.png               pictures with several lines (detection)
photo_NAME.png           photographs (and one scanned page) that scikit-image ships
speech.wav               16 kHz mono speech by espeak-ng with pauses

Needs the DejaVu and Noto fonts and espeak-ng (Debian: fonts-dejavu-core fonts-noto-core espeak-ng).
Usage: tests/make_inputs.py
"""

import json
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.signal import resample_poly
from skimage import data

import cache

FONTS = Path("/usr/share/fonts/truetype")
SANS, SERIF = "dejavu/DejaVuSans.ttf", "noto/NotoSerif-Regular.ttf"
# (text, font, ink, paper): the widths at height 48 go from below 200 to above 1,200.
LINES = (
    ("Stop", "dejavu/DejaVuSans-Bold.ttf", (255, 255, 255), (180, 20, 20)),
    ("Hello World", SANS, (0, 0, 0), (255, 255, 255)),
    ("Gate B7 12:45", "noto/NotoSans-Bold.ttf", (250, 210, 0), (20, 20, 30)),
    ("Total 1,294.50 EUR", "dejavu/DejaVuSansMono.ttf", (40, 40, 40), (240, 235, 220)),
    ("The quick brown fox jumps", SERIF, (20, 30, 90), (250, 250, 250)),
    ("Invoice number 20260417-0093, due in 14 days", "noto/NotoSans-Regular.ttf", (0, 0, 0), (235, 235, 235)),
)
PAGES = (
    ((640, 480), ("Cygnet Station", "Platform 3", "Departure 08:15", "Mind the gap")),
    ((448, 320), ("Open daily", "9:00 - 17:30")),
)
SPEECH = (
    "Good morning. This is a test of the voice activity detector.",
    "After a pause, the speaker goes on and says a few more words.",
)
RATE = 16000


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font by its file name."""
    path = FONTS / name
    if not path.exists():
        sys.exit(f"error: {path} is missing\n  install: fonts-dejavu-core fonts-noto-core")
    return ImageFont.truetype(str(path), size)


def line(text: str, name: str, ink: tuple[int, ...], paper: tuple[int, ...]) -> Image.Image:
    """One line of text with a margin, 48 pixels high."""
    face = font(name, 30)
    width = int(face.getlength(text)) + 24
    picture = Image.new("RGB", (width, 48), paper)
    ImageDraw.Draw(picture).text((12, 24), text, fill=ink, font=face, anchor="lm")
    return picture


def page(size: tuple[int, int], texts: tuple[str, ...]) -> Image.Image:
    """Several lines on a shaded background."""
    wide, high = size
    shade = np.linspace(200, 250, high, dtype=np.float32)[:, None, None]
    tint = np.linspace(0.92, 1, wide, dtype=np.float32)[None, :, None]
    paper = np.broadcast_to(shade * tint, (high, wide, 3)).astype(np.uint8)
    picture = Image.fromarray(paper)
    pen = ImageDraw.Draw(picture)
    for i, text in enumerate(texts):
        face = font(SANS if i % 2 == 0 else SERIF, 40 - 4 * i)
        pen.text((wide // 10, high * (2 * i + 1) // (2 * len(texts))), text, fill=(20, 20, 40), font=face, anchor="lm")
    return picture


def spoken(text: str, voice: str, speed: int, pitch: int = 50) -> np.ndarray:
    """What espeak-ng says, at 16 kHz."""
    if shutil.which("espeak-ng") is None:
        sys.exit("error: espeak-ng is missing\n  install: espeak-ng")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        choices = ["-v", voice, "-s", str(speed), "-p", str(pitch)]
        subprocess.run(["espeak-ng", *choices, "-w", file.name, text], check=True)
        with wave.open(file.name) as sound:
            rate = sound.getframerate()
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float64)
    return resample_poly(samples, RATE, rate)


def speech() -> np.ndarray:
    """The sentences with silence around them, int16 at 16 kHz."""
    quiet = np.zeros(RATE, np.float64)
    parts = [quiet]
    for text in SPEECH:
        parts += [spoken(text, "en", 150), quiet]
    return np.clip(np.concatenate(parts).round(), -32768, 32767).astype("<i2")


def main() -> None:
    """Writes all inputs."""
    folder = cache.root() / "inputs"
    folder.mkdir(exist_ok=True)
    for i, row in enumerate(LINES):
        line(*row).save(folder / f"line_{i}.png")
    (folder / "lines.json").write_text(json.dumps([row[0] for row in LINES], indent=1) + "\n")
    for i, (size, texts) in enumerate(PAGES):
        page(size, texts).save(folder / f"page_{i}.png")
    for name in ("astronaut", "coffee", "chelsea", "page"):
        Image.fromarray(getattr(data, name)()).convert("RGB").save(folder / f"photo_{name}.png")
    samples = speech()
    with wave.open(str(folder / "speech.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())
    print(f"make_inputs: pictures and {len(samples) / RATE:.1f} s of speech are in {folder}")


if __name__ == "__main__":
    main()
