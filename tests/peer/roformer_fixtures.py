"""Outputs and gradients of public RoFormers, as numbers for the test crates/model/tests/roformer.rs.

    pip install bs-roformer==1.2.4 librosa torch
    git clone https://github.com/ZFTurbo/Music-Source-Separation-Training MSST
    python tests/peer/roformer_fixtures.py MSST crates/model/tests/fixtures/roformer.safetensors

Weights, mixtures and the weights of the loss are pseudo-random numbers that the test computes too (`uniform`), so the
file holds results only: of every case the stems, and for every parameter up to PROJECTIONS numbers that depend on all
elements of its gradient. PyTorch computes in float64. The metadata holds the configuration of each case in Unbraid's
terms. Mono mixtures come in pairs, because Unbraid separates the channels of a stereo mixture with a mono network.
"""

import json
import struct
import sys

import numpy as np
import torch

PROJECTIONS = 16


def seed_of(name):
    """FNV-1a, 64 bits."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


def bits(name, count):
    """SplitMix64 from the seed of a name."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed_of(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, count, scale, offset=0.0):
    """Float32 numbers from offset - scale to offset + scale."""
    unit = (bits(name, count) >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0
    return (offset + scale * unit).astype(np.float32)


def projections(name, gradient):
    """All elements, or sums of all elements with pseudo-random signs."""
    gradient = gradient.reshape(-1)
    if gradient.size <= PROJECTIONS:
        return gradient
    signs = [1.0 - 2.0 * (bits(f"{name}/{k}", gradient.size) >> np.uint64(63)).astype(np.float64) for k in range(PROJECTIONS)]
    return np.array([np.sum(gradient * sign) for sign in signs])


def canonical(name, from_pypi, mel):
    """The name of a parameter in MSST. The package wraps residual branches, and counts linear transformers."""
    if not from_pypi:
        return name
    parts = [part for part in name.split(".") if part != "branch"]
    if mel and parts[0] == "layers":
        parts[2] = str(int(parts[2]) - 1)
    return ".".join(parts)


def initial(name, shape):
    count = int(np.prod(shape))
    if name.endswith("gamma"):
        return uniform(name, count, 0.3, 1.0)
    if name.endswith("bias"):
        return uniform(name, count, 0.2)
    return uniform(name, count, float(np.sqrt(3.0 / shape[1])))


DEFAULTS = dict(
    sample_rate=44100, n_fft=256, hop=64, dim=16, depth=2, time=1, freq=1, heads=2, width=8, mask_depth=2,
    expansion=4, stereo=True, zero_dc=False, skip=False, stems=1, batch=1, samples=1001, pypi=False,
)
BANDS_129 = [2] * 8 + [4] * 4 + [16] * 3 + [24, 25]
CASES = {
    "bs": dict(bands=BANDS_129, stems=2, batch=2),
    "bs_skip_mono": dict(
        bands=BANDS_129, depth=3, time=2, skip=True, stereo=False, batch=2, zero_dc=True, mask_depth=3, expansion=2,
        dim=12,
    ),
    "bs_hop_441": dict(
        bands=[25, 100, 200, 300, 400], n_fft=2048, hop=441, dim=8, depth=1, heads=1, width=64, zero_dc=True,
        stereo=False, batch=2, samples=2500,
    ),
    "bs_pypi": dict(bands=BANDS_129, depth=1, zero_dc=True, samples=1024, stems=2, pypi=True),
    "mel": dict(bands=8, stems=3, zero_dc=True),
    "mel_skip_mono": dict(
        bands=6, depth=3, freq=2, skip=True, stereo=False, batch=2, mask_depth=1, sample_rate=16000, hop=48, dim=12
    ),
    "mel_hop_512": dict(
        bands=60, n_fft=2048, hop=512, dim=8, depth=1, heads=1, width=64, zero_dc=True, expansion=1, samples=2500
    ),
    "mel_pypi": dict(bands=8, zero_dc=True, pypi=True),
}


def network(case):
    mel = isinstance(case["bands"], int)
    kwargs = dict(
        dim=case["dim"], depth=case["depth"], stereo=case["stereo"], num_stems=case["stems"],
        time_transformer_depth=case["time"], freq_transformer_depth=case["freq"], dim_head=case["width"],
        heads=case["heads"], attn_dropout=0.0, ff_dropout=0.0, flash_attn=False, stft_n_fft=case["n_fft"],
        stft_hop_length=case["hop"], stft_win_length=case["n_fft"], zero_dc=case["zero_dc"],
        mask_estimator_depth=case["mask_depth"],
    )
    if mel:
        kwargs.update(num_bands=case["bands"], sample_rate=case["sample_rate"], match_input_audio_length=True)
    else:
        kwargs.update(freqs_per_bands=tuple(case["bands"]))
    if case["pypi"]:
        from bs_roformer import BSRoformer, MelBandRoformer

        assert case["expansion"] == 4 and not case["skip"]
        kwargs.update(num_residual_streams=1)
        if mel:
            kwargs.update(add_value_residual=False, linear_transformer_depth=0)
    else:
        from models.bs_roformer.bs_roformer import BSRoformer
        from models.bs_roformer.mel_band_roformer import MelBandRoformer

        kwargs.update(skip_connection=case["skip"], mlp_expansion_factor=case["expansion"], linear_transformer_depth=0)
    return (MelBandRoformer if mel else BSRoformer)(**kwargs)


def run(name, case):
    mel = isinstance(case["bands"], int)
    model = network(case).double().eval()
    parameters = {}
    for key, parameter in model.named_parameters():
        if key.endswith("rotary_embed.freqs"):
            continue
        key = canonical(key, case["pypi"], mel)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(initial(key, parameter.shape).reshape(parameter.shape)))
        parameters[key] = parameter
    channels = 2 if case["stereo"] else 1
    shape = (case["batch"], channels, case["samples"])
    mixture = torch.from_numpy(uniform(f"{name}/mixture", int(np.prod(shape)), 0.3).reshape(shape)).double()
    stems = model(mixture).reshape(case["batch"], case["stems"], channels, case["samples"])
    weights = uniform(f"{name}/loss", stems.numel(), 1.0).reshape(stems.shape)
    (stems * torch.from_numpy(weights).double()).sum().backward()
    gradients = [projections(key, parameters[key].grad.numpy()) for key in sorted(parameters)]
    # The mask MLPs of Mel-Band RoFormers have one linear map more than their depth.
    config = dict(
        name=name, stems=[f"stem{index}" for index in range(case["stems"])], sample_rate=case["sample_rate"],
        n_fft=case["n_fft"], hop_length=case["hop"], family="mel_band_roformer" if mel else "bs_roformer",
        bands=case["bands"], dim=case["dim"], depth=case["depth"], time_depth=case["time"],
        frequency_depth=case["freq"], num_heads=case["heads"], head_width=case["width"],
        mask_depth=case["mask_depth"] + mel, mask_expansion=case["expansion"], stereo=case["stereo"],
        zero_dc=case["zero_dc"], skip_connection=case["skip"],
    )
    return json.dumps(config), stems.detach().numpy(), np.concatenate(gradients)


def write(path, tensors, metadata):
    """A safetensors file of float32 tensors."""
    header, data = {"__metadata__": metadata}, b""
    for name, values in tensors.items():
        values = values.astype("<f4")
        start, data = len(data), data + values.tobytes()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main():
    msst, out = sys.argv[1:]
    sys.path.insert(0, msst)
    tensors, metadata = {}, {}
    for name, case in CASES.items():
        config, stems, gradients = run(name, DEFAULTS | case)
        metadata[name] = config
        tensors[f"{name}/stems"] = stems
        tensors[f"{name}/gradients"] = gradients
        print(f"{name}: stems {stems.shape}, rms {np.sqrt(np.mean(stems**2)):.3g}, {gradients.size} gradient numbers")
    write(out, tensors, metadata)


if __name__ == "__main__":
    main()
