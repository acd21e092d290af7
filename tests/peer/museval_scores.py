"""Scores of museval, for the test `crates/train/tests/scores.rs`.

    python3 -m venv venv && venv/bin/pip install museval==0.4.1
    venv/bin/python tests/peer/museval_scores.py > crates/train/tests/scores.json

The signals are made of integers, so that this script and the test make the same samples. cSDR is museval's: the median
over the windows that are not NaN. uSDR and SI-SDR are computed from their definitions in double precision.
"""

import json
import math

import museval
import numpy as np

CASES = [
    {"name": "long", "rate": 8000, "frames": 96_000},
    {"name": "short", "rate": 8000, "frames": 10_400},
    {"name": "partial last second", "rate": 11_025, "frames": 60_637},
    {"name": "silent window of a reference", "rate": 8000, "frames": 64_000,
     "silent_reference": {"stem": 1, "from": 15_000, "to": 33_000}},
    {"name": "silent window of an estimate", "rate": 8000, "frames": 64_000,
     "silent_estimate": {"stem": 2, "from": 8000, "to": 16_000}},
    {"name": "nearly silent window", "rate": 8000, "frames": 48_000,
     "silent_reference": {"stem": 0, "from": 8000, "to": 15_999}},
    {"name": "shorter estimate", "rate": 8000, "frames": 80_500, "estimate_frames": 61_234},
    {"name": "longer estimate", "rate": 8000, "frames": 40_000, "estimate_frames": 43_210},
]
STEMS = ["bass", "drums", "other", "vocals"]


def noise(seed, frames):
    """The upper 16 bits of a linear congruential generator, -32768 to 32767."""
    values = np.empty(frames, np.int64)
    state = seed
    for n in range(frames):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        values[n] = (state >> 16) - 32_768
    return values


def reference(case, stem, channel):
    frames = max(case["frames"], case.get("estimate_frames", 0))
    n = np.arange(frames, dtype=np.int64)
    envelope = 64 + n * (stem + 3) // 37 % 192
    saw = n * (40 + 13 * stem + channel) % 65_536 - 32_768
    return (noise(1000 + 10 * stem + channel, frames) * envelope >> 10) + (saw >> 3)


def signals(case):
    """References and estimates of a case, [stem, sample, channel], as integers of 16 bits."""
    rate, frames = case["rate"], case["frames"]
    references = np.stack([np.stack([reference(case, s, c) for c in range(2)], 1) for s in range(len(STEMS))])
    n = np.arange(references.shape[1], dtype=np.int64)[:, None]
    leak = n // rate * 3 % 11
    estimates = np.stack([
        (own * (7 + s) >> 3) + (references[(s + 1) % len(STEMS)] * leak >> 6)
        + np.stack([noise(2000 + 10 * s + c, len(n)) for c in range(2)], 1) // 256
        for s, own in enumerate(references)
    ])
    references = references[:, :frames]
    estimates = np.clip(estimates[:, :case.get("estimate_frames", frames)], -32_768, 32_767)
    for name, all_stems in (("silent_reference", references), ("silent_estimate", estimates)):
        if silent := case.get(name):
            all_stems[silent["stem"], silent["from"]:silent["to"]] = 0
    return references, estimates


def decibel(ratio):
    return 10 * math.log10(ratio)


def usdr(s, e):
    return decibel((np.sum(s * s) + 1e-7) / (np.sum((s - e) ** 2) + 1e-7))


def si_sdr(s, e):
    target = np.sum(s * e) / np.sum(s * s) * s
    return decibel(np.sum(target**2) / np.sum((target - e) ** 2))


def scores(case):
    references, estimates = (x / 32_768 for x in signals(case))
    # museval changes the arrays that it gets.
    csdr, _, _, _ = museval.evaluate(references.copy(), estimates.copy(), case["rate"], case["rate"])
    padded = np.zeros_like(references)
    length = min(padded.shape[1], estimates.shape[1])
    padded[:, :length] = estimates[:, :length]
    return {
        name: {"csdr": float(np.nanmedian(csdr[i])), "usdr": usdr(references[i], padded[i]),
               "si_sdr": si_sdr(references[i], padded[i])}
        for i, name in enumerate(STEMS)
    }


def main():
    cases = [{**case, "scores": scores(case)} for case in CASES]
    print(json.dumps({"museval": "0.4.1", "stems": STEMS, "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
