#!/usr/bin/env python3
"""Makes a corpus of spoken words with espeak-ng: FOLDER/WORD/VOICE_N.wav, 22 kHz.

Every voice is an accent of English with a variant of the larynx; it says every word at several speeds and pitches.
Takes differ by what their names decide, so that a second run makes the same files. The file names give the voice, so
that `group = "{group}_*"` keeps voices together. Needs espeak-ng and nothing else.

Usage: tests/make_keywords.py FOLDER [--takes N] [--voices N]
"""

import argparse
import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
VARIANTS = (
    "f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt2 klatt3 Alex Alicia Andrea Andy Annie adam anika aunty belinda "
    "benjamin boris caleb david ed edward Gene Henrique Hugo Jacky john kaukovalta Lee linda marco Mario max Michael "
    "michel miguel mike norbert pablo paul pedro quincy rob robert sandro shelby steph steph2 travis victor zac"
).split()


def draw(text: str, low: int, high: int) -> int:
    """A number from low to high that the text decides."""
    digest = hashlib.sha256(text.encode()).digest()
    return low + int.from_bytes(digest[:8], "big") % (high - low + 1)


def say(job: tuple[Path, str, str, str]) -> None:
    """One take."""
    path, word, accent, variant = job
    name = str(path.relative_to(path.parents[1]))
    command = ["espeak-ng", "-v", f"{accent}+{variant}", "-s", str(draw(name + "s", 110, 210))]
    command += ["-p", str(draw(name + "p", 20, 80)), "-a", str(draw(name + "a", 60, 160)), "-w", str(path), word]
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--takes", type=int, default=5, help="takes of a word by a voice (default: 5)")
    parser.add_argument("--voices", type=int, default=len(VARIANTS), help="voices (default: all)")
    args = parser.parse_args()
    jobs = []
    for word in WORDS:
        (args.folder / word).mkdir(parents=True, exist_ok=True)
        for i, variant in enumerate(VARIANTS[: args.voices]):
            for take in range(args.takes):
                path = args.folder / word / f"{variant}_{take}.wav"
                # A voice is a variant, in one accent: nothing of it is in another group.
                jobs.append((path, word, ACCENTS[i % len(ACCENTS)], variant))
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(say, jobs))
    except FileNotFoundError:
        sys.exit("error: espeak-ng is missing\n  install: espeak-ng")
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(error.cmd)}\n  {error.stderr.decode().strip()}")
    print(f"{args.folder}: {len(jobs)} takes of {len(WORDS)} words by {min(args.voices, len(VARIANTS))} voices")


if __name__ == "__main__":
    main()
