"""Building binary partition trees: CPU time against shap_bpt, growth with the image, memory, first build, atoms.

scikit-image's astronaut (enlarged or reduced), noise and a flat image, 3 Lab channels in bytes, converted before.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _peer_trees import as_hierarchy, pixel_sets
from _timing import printed_by, timed
from skimage import data
from skimage.transform import resize

from xai_ext.hierarchies import bpt
from xai_ext.hierarchies._color import channels
from xai_ext.segmentation import slic

HERE = Path(__file__).parent
RATIOS = {224: 0.65, 512: 0.65, 1024: 0.60, 2048: 0.55}  # photo, at most
SHAP_BPT = HERE.parent / ".venv-peers" / "shap_bpt" / "bin" / "python"
PEAK = """
import sys, numpy as np
from _timing import peak_memory
from xai_ext.hierarchies import bpt
bpt(np.zeros((8, 8, 3), np.uint8), color="raw")
colors = np.load(sys.argv[1])
before = peak_memory()
bpt(colors, color="raw")
print((peak_memory() - before) / colors[..., 0].size)
"""
FIRST = """
import sys, time, numpy as np
from xai_ext.hierarchies import bpt
colors, start = np.load(sys.argv[1]), time.process_time()
bpt(colors, color="raw")
first, start = time.process_time() - start, time.process_time()
bpt(colors, color="raw")
print(first - (time.process_time() - start))
"""


def picture(kind: str, side: int) -> np.ndarray:
    """Colours (side, side, 3) in bytes."""
    if kind == "noise":
        return np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    photo = data.astronaut()
    if side != len(photo):
        photo = np.rint(resize(photo, (side, side), preserve_range=True, anti_aliasing=side < len(photo)))
    return channels(np.full((side, side, 3), 127, np.uint8) if kind == "flat" else photo.astype(np.uint8)).astype("u1")


def build(colors: np.ndarray) -> None:
    """Checks and the finished `Hierarchy` included."""
    bpt(colors, color="raw")


def interleaved(path: Path, peer: subprocess.Popen | None, rounds: int) -> tuple[float, float]:
    """Best CPU seconds of (ours, the peer's)."""
    colors, ours, theirs = np.load(path), [], [math.nan]
    for _ in range(rounds):
        ours.append(timed(lambda: build(colors)).cpu)
        if peer:
            peer.stdin.write(f"{path}\n")
            peer.stdin.flush()
            theirs.append(float(peer.stdout.readline()))
    return min(ours), float(np.nanmin(theirs)) if peer else math.nan


def in_fresh_process(script: str, path: Path) -> float:
    """What the script prints for the image."""
    return float(printed_by("-c", script, path))


def equal_trees(peer: subprocess.Popen, folder: Path, n: int = 60) -> int:
    """Noise images, 5 to 19 pixels a side, on which both trees have the same pixel sets; photos are full of ties."""
    rng, equal = np.random.default_rng(0), 0
    for _ in range(n):
        image = rng.integers(0, 256, (*rng.integers(5, 20, 2), 3)).astype(np.uint8)
        np.save(folder / "noise.npy", image)
        peer.stdin.write(f"{folder / 'noise.npy'} {folder / 'tree.npz'}\n")
        peer.stdin.flush()
        peer.stdout.readline()
        theirs = as_hierarchy(np.load(folder / "tree.npz"))
        equal += pixel_sets(theirs) == pixel_sets(bpt(image, color="raw"))
    return equal


def verdict(name: str, value: float, limit: float) -> None:
    """One line per claim."""
    word = "not measured" if math.isnan(value) else "ok" if value <= limit else "MISSED"
    print(f"{name:58} {value:8.2f}  at most {limit:<6g} {word}")


def atoms_ratio(side: int, rounds: int) -> float:
    """CPU time from some 2,000 atoms / from pixels."""
    colors = picture("photo", side)
    labels = slic(colors, n_segments=2000)
    pixels = min(timed(lambda: build(colors)).cpu for _ in range(rounds))
    return min(timed(lambda: bpt(colors, labels, color="raw")).cpu for _ in range(rounds)) / pixels


def table(cases: list[tuple[str, int]], folder: Path, peer: subprocess.Popen | None, rounds: int) -> dict:
    """Measure and print every case; {case: (ours, theirs)}."""
    times = {}
    print(f"{'image':6} {'side':>5} {'ours s':>9} {'us/pixel':>9} {'shap_bpt s':>11} {'ratio':>6}")
    for kind, side in cases:
        path = folder / f"{kind}{side}.npy"
        np.save(path, picture(kind, side))
        ours, theirs = times[kind, side] = interleaved(path, peer, rounds)
        print(
            f"{kind:6} {side:5} {ours:9.3f} {ours / side**2 * 1e6:9.2f} {theirs:11.3f} {ours / theirs:6.2f}", flush=True
        )
    return times


def main() -> None:
    """Print the table and the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shap-bpt", metavar="PYTHON", default=str(SHAP_BPT), help="interpreter with shap_bpt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs="+", default=list(RATIOS))
    args = parser.parse_args()
    build(picture("flat", 8))
    peer = None
    if Path(args.shap_bpt).exists():
        command = [args.shap_bpt, str(HERE / "_bpt_peer.py")]
        peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    small = [side for side in args.sides if side <= 512]
    cases = [("photo", side) for side in args.sides] + [(kind, side) for kind in ("noise", "flat") for side in small]
    with tempfile.TemporaryDirectory() as name:
        times = table(cases, Path(name), peer, args.rounds)
        report(times, Path(name), args)
        if peer:
            print(f"trees equal to shap_bpt's: {equal_trees(peer, Path(name))} of 60 noise images")
    if peer:
        peer.stdin.close()
        peer.wait()


def report(times: dict, folder: Path, args: argparse.Namespace) -> None:
    """The limits, from the table and from fresh processes."""
    print()
    sides = args.sides
    for side in sides:
        verdict(
            f"photo {side}: time / shap_bpt", times["photo", side][0] / times["photo", side][1], RATIOS.get(side, 0.65)
        )
    for low, limit in ((512, 1.10), (224, 1.20)):
        if low in sides and max(sides) > low:
            growth = math.log(times["photo", max(sides)][0] / times["photo", low][0])
            verdict(f"exponent in pixels, {low} to {max(sides)}", growth / (2 * math.log(max(sides) / low)), limit)
    verdict(
        f"peak memory at {max(sides)}, bytes per pixel", in_fresh_process(PEAK, folder / f"photo{max(sides)}.npy"), 256
    )
    verdict("first build beyond a second one, s", in_fresh_process(FIRST, folder / f"photo{min(sides)}.npy"), 1.0)
    verdict("2,000 atoms / pixels, 512", atoms_ratio(512, args.rounds), 0.1)
    print(f"\none thread, CPU time, minimum of {args.rounds} interleaved rounds", file=sys.stderr)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
