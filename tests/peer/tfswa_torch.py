"""The TFSWA U-Net in plain PyTorch: the same network and the same training step, to compare speed and memory.

Axis letters: b batch, s stems, c channels, n samples, t frames, f bins, h heads, d head width. Tokens are [b, t, f, c].
"""

import argparse
import functools
import itertools
import json
import math
import re
import resource
import struct
import time
import tomllib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

STANDARD = Path(__file__).parents[2] / "configs/model/tfswa_unet.toml"
RESOLUTIONS = [4096, 2048, 1024, 512, 256]
TINY_POWER = 1e-8


@functools.lru_cache(maxsize=64)
def rotations(length, width, device):
    """Cosines and sines of rotary positions, [length, d/2]."""
    frequency = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    return angle.cos().float().to(device), angle.sin().float().to(device)


def rotated(x):
    """Rotates neighbouring channels of x [.., length, d] by their position."""
    cos, sin = (table.to(x.dtype) for table in rotations(*x.shape[-2:], x.device))
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


@functools.lru_cache(maxsize=64)
def bands(extent, size, shift):
    """Runs of equal windows along an axis: first window, end, and the region of every position of a window.

    Positions that the cyclic shift brings from the other edge and positions outside the plane are regions of their own.
    """
    padded = -(-extent // size) * size
    places = [(position + shift, (position + shift) % padded) for position in range(padded)]
    regions = [2 if place >= extent else int(shifted >= padded) for shifted, place in places]
    runs, start = [], 0
    windows = [tuple(regions[first:first + size]) for first in range(0, padded, size)]
    for region, run in itertools.groupby(windows):
        end = start + len(list(run))
        runs.append((start, end, region))
        start = end
    return runs


@functools.lru_cache(maxsize=256)
def forbidden(frames, bins, device):
    """Which pairs of positions of a window lie in different regions, or None if all lie in one."""
    region = torch.tensor(frames)[:, None] * 3 + torch.tensor(bins)[None]
    pairs = (region.flatten()[:, None] != region.flatten()[None]).to(device)
    return pairs if pairs.any() else None


class SubLayer(nn.Module):
    """An attention and its MLP, both with layer norm and residual."""

    def __init__(self, config, channels, kind, shifted=False):
        super().__init__()
        self.kind, self.heads = kind, config["num_heads"]
        self.rotary = kind != "window" and config["positional"] == "rotary"
        self.size = config["window_size"]
        self.shift = [side // 2 if shifted else 0 for side in self.size]
        hidden = channels * config["mlp_ratio"]
        self.norm_attention, self.norm_mlp = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.projection = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.expand, self.contract = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        if kind == "window":
            high, wide = (2 * side - 1 for side in self.size)
            self.position_bias = nn.Parameter(0.02 * torch.randn(self.heads, high * wide))
            places = torch.cartesian_prod(*(torch.arange(side) for side in self.size))
            offset = places[:, None] - places[None] + torch.tensor(self.size) - 1
            self.register_buffer("entries", offset[..., 0] * wide + offset[..., 1], persistent=False)

    def forward(self, x):
        x = x + self.projection(self.attention(self.qkv(self.norm_attention(x))))
        return x + self.contract(F.gelu(self.expand(self.norm_mlp(x))))

    def attention(self, qkv):
        b, t, f, width = qkv.shape
        if self.kind == "window":
            return self.windows(qkv)
        qkv = qkv.view(b, t, f, 3, self.heads, -1)
        order = (3, 0, 1, 4, 2, 5) if self.kind == "frequency" else (3, 0, 2, 4, 1, 5)
        q, k, v = qkv.permute(order).flatten(1, 2)
        if self.rotary:
            q, k = rotated(q), rotated(k)
        y = F.scaled_dot_product_attention(q, k, v)
        if self.kind == "frequency":
            return y.transpose(1, 2).reshape(b, t, f, width // 3)
        return y.view(b, f, self.heads, t, -1).permute(0, 3, 1, 2, 4).reshape(b, t, f, width // 3)

    def windows(self, qkv):
        b, t, f, width = qkv.shape
        (high, wide), channels = self.size, width // 3
        shift = [s if extent > side else 0 for s, side, extent in zip(self.shift, self.size, (t, f))]
        qkv = F.pad(qkv, (0, 0, 0, -f % wide, 0, -t % high))
        if any(shift):
            qkv = qkv.roll([-s for s in shift], (1, 2))
        rows, columns = qkv.shape[1] // high, qkv.shape[2] // wide
        qkv = qkv.view(b, rows, high, columns, wide, 3, self.heads, -1).permute(5, 0, 1, 3, 6, 2, 4, 7)
        qkv = qkv.flatten(5, 6)
        bias = self.position_bias[:, self.entries].to(qkv.dtype)

        def attend(row, column):
            mask = forbidden(row[2], column[2], qkv.device)
            mask = bias if mask is None else bias.masked_fill(mask, float("-inf"))
            part = qkv[:, :, row[0]:row[1], column[0]:column[1]]
            y = F.scaled_dot_product_attention(*part.flatten(1, 3), attn_mask=mask[None])
            return y.view(part.shape[1:])

        across = bands(f, wide, shift[1])
        y = torch.cat([torch.cat([attend(row, column) for column in across], 2) for row in bands(t, high, shift[0])], 1)
        y = y.unflatten(4, (high, wide)).permute(0, 1, 4, 2, 5, 3, 6).reshape(b, rows * high, columns * wide, channels)
        return (y.roll(shift, (1, 2)) if any(shift) else y)[:, :t, :f]


class Block(nn.Module):
    def __init__(self, config, channels, shifted):
        super().__init__()
        self.time = SubLayer(config, channels, "time")
        self.frequency = SubLayer(config, channels, "frequency")
        self.window = SubLayer(config, channels, "window", shifted)


class Stage(nn.Module):
    def __init__(self, config, resolution):
        super().__init__()
        channels, depth = config["dims"][resolution], config["depths"][resolution]
        self.blocks = nn.ModuleList(Block(config, channels, index % 2 == 1) for index in range(depth))

    def forward(self, x, recompute):
        for block in self.blocks:
            for layer in (block.time, block.frequency, block.window):
                x = checkpoint(layer, x, use_reentrant=False) if recompute else layer(x)
        return x


class Tfswa(nn.Module):
    """Waveform [b, 2, n] in, stems [b, s, 2, n] out."""

    def __init__(self, config, recompute=False):
        super().__init__()
        dims, self.config, self.recompute = config["dims"], config, recompute
        self.subbands, self.unit = config["subbands"], 2 ** (len(dims) - 1)
        bins = config["n_fft"] // 2 // self.subbands
        self.rows = bins + -bins % self.unit
        levels = range(len(dims) - 1)
        self.patch_embed = nn.ModuleList(nn.Linear(3 * 6 * self.subbands, dims[0]) for _ in range(3))
        angle = math.pi * torch.outer(torch.arange(self.rows) + 0.5, torch.arange(dims[0])) / self.rows
        self.frequency = nn.Parameter(angle.cos())
        self.encoder = nn.ModuleList(Stage(config, level) for level in levels)
        self.down = nn.ModuleList(nn.Linear(4 * dims[level], dims[level + 1]) for level in levels)
        self.bottleneck = Stage(config, len(dims) - 1)
        self.up = nn.ModuleList(nn.Linear(dims[level + 1], 4 * dims[level]) for level in levels)
        self.merge = nn.ModuleList(nn.Linear(dims[level], dims[level]) for level in levels)
        self.decoder = nn.ModuleList(Stage(config, level) for level in levels)
        self.norm, half = nn.LayerNorm(dims[0]), 2 * len(config["stems"]) * self.subbands
        self.head = nn.Linear(dims[0], 2 * half)
        with torch.no_grad():
            self.head.weight.normal_(0.0, 0.02)
            self.head.bias.copy_((torch.arange(2 * half) < half) / len(config["stems"]))
        self.register_buffer("window", torch.hann_window(config["n_fft"]), persistent=False)

    def forward(self, mixture):
        b, _, n = mixture.shape
        sizes = self.config["n_fft"], self.config["hop_length"]
        spectrum = torch.stft(mid_side(mixture).flatten(0, 1), *sizes, window=self.window, return_complex=True)
        spectrum = spectrum.unflatten(0, (b, 2)).transpose(2, 3)
        stems = self.masks(self.features(spectrum)) * spectrum[:, None]
        waves = torch.istft(stems.flatten(0, 2).transpose(1, 2), *sizes, window=self.window, length=n)
        return mid_side(waves.view(-1, 2, n)).view(b, -1, 2, n)

    def features(self, spectrum):
        """[b, 2, t, f + 1] → compressed real and imaginary part and magnitude, [b, t, f/sub, 6·sub]."""
        parts = torch.view_as_real(spectrum[..., :-1])
        power = parts.square().sum(-1)
        mean = power.mean((1, 2, 3), keepdim=True) + TINY_POWER
        power = power / mean + TINY_POWER
        magnitude = power.sqrt().sqrt().sqrt()
        gain = magnitude / (power * mean).sqrt()
        x = torch.cat((parts[..., 0] * gain, parts[..., 1] * gain, magnitude), 1)
        return x.unflatten(3, (self.subbands, -1)).permute(0, 2, 4, 1, 3).flatten(3)

    def masks(self, x):
        """Features → complex masks [b, s, 2, t, f + 1]."""
        b, t, f, _ = x.shape
        frames = t + -t % self.unit
        x = F.pad(x, (0, 0, 1, self.rows - f + 1, 1, frames - t + 1))
        x = torch.cat([x[:, :, offset:offset + self.rows] for offset in range(3)], 3)
        x = self.frequency + sum(embed(x[:, offset:offset + frames]) for offset, embed in enumerate(self.patch_embed))
        skips = []
        for stage, down in zip(self.encoder, self.down):
            x = stage(x, self.recompute)
            skips.append(x)
            x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3).flatten(3)
            x = down(x)
        x = self.bottleneck(x, self.recompute)
        for level in reversed(range(len(skips))):
            x = self.up[level](x)
            x = x.unflatten(3, (2, 2, -1)).permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
            x = self.decoder[level](x + self.merge[level](skips[level]), self.recompute)
        masks = self.head(self.norm(x))[:, :t, :f].float()
        masks = masks.unflatten(3, (2, -1, 2, self.subbands)).permute(0, 4, 5, 1, 6, 2, 3).flatten(4, 5)
        masks = torch.view_as_complex(masks.contiguous())
        return torch.cat((masks, masks[..., -1:]), -1)


def mid_side(x):
    """[.., 2, n]: left and right to mid and side, and back."""
    return torch.stack((x[..., 0, :] + x[..., 1, :], x[..., 0, :] - x[..., 1, :]), -2) * math.sqrt(0.5)


def loss_of(estimate, target):
    """L1 of the waveform, and of the real and imaginary parts of the error's spectrograms."""
    error = estimate - target
    spectral = 0.0
    for size in RESOLUTIONS:
        window = torch.hann_window(size, device=error.device)
        spectra = torch.stft(error.flatten(0, 2), size, size // 4, window=window, return_complex=True)
        spectral = spectral + 2.0 * torch.view_as_real(spectra).abs().mean() / window.norm()
    return error.abs().mean() + spectral / len(RESOLUTIONS)


def load(network, file):
    """Loads a weights file of Unbraid. Its linear maps are stored as [inputs, outputs]."""
    data = Path(file).read_bytes()
    size, = struct.unpack("<Q", data[:8])
    values = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        first, end = (8 + size + offset for offset in entry["data_offsets"])
        value = torch.frombuffer(bytearray(data[first:end]), dtype=torch.float32).view(entry["shape"])
        linear = name.endswith(".weight")
        name = re.sub(r"^stem\.", "patch_embed.", name)  # format 1
        name = name.replace(".gamma", ".weight").replace(".beta", ".bias")
        values[name] = value.T if linear else value
    network.load_state_dict(values)


def wave(file):
    """A wav file of stereo f32 samples, [2, n]."""
    data = Path(file).read_bytes()
    at = 12
    while data[at:at + 4] != b"data":
        at += 8 + struct.unpack("<I", data[at + 4:at + 8])[0]
    size, = struct.unpack("<I", data[at + 4:at + 8])
    return torch.frombuffer(bytearray(data[at + 8:at + 8 + size]), dtype=torch.float32).view(-1, 2).T


def compare(network, song, folder):
    """Signal-to-noise ratios in dB of the stems that Unbraid separated, against this network's."""
    with torch.no_grad():
        stems = network(wave(song)[None].to(network.window.device))[0].cpu().double()
    ratios = {}
    for name, stem in zip(network.config["stems"], stems):
        error = wave(Path(folder) / f"{name}.wav").double() - stem
        ratios[name] = 10 * math.log10(stem.square().sum() / error.square().sum())
    return ratios


def measure(network, options):
    """Seconds of every step on noise, the last loss, and the peak of the memory that tensors take."""
    device = torch.device(options.device)
    cuda = device.type == "cuda"
    samples = int(options.seconds * network.config["sample_rate"])
    optimizer = torch.optim.AdamW(network.parameters(), 5e-4, weight_decay=0.01)
    scaler = torch.amp.GradScaler(device.type, enabled=options.amp and cuda)
    half = torch.float16 if cuda else torch.bfloat16
    seconds = []
    for _ in range(options.steps + 1):
        target = 0.1 * torch.randn(options.batch, len(network.config["stems"]), 2, samples, device=device)
        began = time.perf_counter()
        with torch.set_grad_enabled(options.train):
            with torch.autocast(device.type, half, enabled=options.amp):
                estimate = network(target.sum(1))
            loss = loss_of(estimate, target)
        if options.train:
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            scaler.step(optimizer)
            scaler.update()
        value = loss.item()
        seconds.append(time.perf_counter() - began)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return seconds, value, torch.cuda.max_memory_allocated() if cuda else resident


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=STANDARD, help="TOML file of the network")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a segment")
    parser.add_argument("--batch", type=int, default=1, help="segments of a step")
    parser.add_argument("--steps", type=int, default=5, help="steps after the first, which warms up")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--train", action="store_true", help="training steps (default)")
    what.add_argument("--inference", action="store_true", help="forward passes only")
    parser.add_argument("--checkpoint", action="store_true", help="recompute every sub-layer in the backward pass")
    parser.add_argument("--amp", action="store_true", help="autocast: f16 on CUDA, bfloat16 on the CPU")
    parser.add_argument("--tf32", action="store_true", help="matrix products in TF32")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--weights", help="weights file of Unbraid to start from")
    parser.add_argument("--compare", nargs=2, metavar=("SONG", "STEMS"),
                        help="print the agreement with stems of `unbraid separate` instead; needs --weights")
    options = parser.parse_args()
    options.train = not options.inference
    if options.tf32:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    config = tomllib.loads(Path(options.model).read_text())
    network = Tfswa(config, options.checkpoint and options.train).to(options.device)
    if options.weights:
        load(network, options.weights)
    if options.compare:
        print(json.dumps(compare(network, *options.compare)))
        return
    seconds, loss, peak = measure(network, options)
    later = sorted(seconds[1:])
    result = {
        "seconds_per_step": later[len(later) // 2],
        "step_seconds": seconds,
        "memory_peak": peak,
        "loss": loss,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device,
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
