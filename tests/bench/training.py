"""Times training steps of Cygnet and of PyTorch on the same networks, batches and threads, in turns.

Usage: tests/bench/training.py [--threads N] [--rounds N] [--steps N] [--json FILE]

Needs PyTorch in the Python that runs it. Builds `cargo build --release -p cygnet-training --example speed`.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import time
from importlib.metadata import version

if "--torch" in sys.argv:  # Only there: a parent's resident memory counts for its children.
    import torch
    from torch import nn
else:
    class nn:
        Sequential = Module = ReLU = ReLU6 = object


class Separable(nn.Sequential):
    def __init__(self):
        layers = block(3, 16, 3, 2)
        c = 16
        for n, stride in [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2)]:
            layers += block(c, c, 3, stride, groups=c) + block(c, n, 1, 1)
            c = n
        super().__init__(*layers, *head(c, 10))


def block(i, o, k, stride, groups=1, act=nn.ReLU, padding=None):
    layers = [nn.Conv2d(i, o, k, stride, k // 2 if padding is None else padding, groups=groups, bias=False),
              nn.BatchNorm2d(o, eps=1e-3)]
    return layers + ([act(inplace=True)] if act else [])


def head(c, n):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, n)]


class Residual(nn.Module):
    def __init__(self, body, shortcut=None, add=True):
        super().__init__()
        self.body, self.shortcut, self.add = nn.Sequential(*body), shortcut, add

    def forward(self, x):
        y = self.body(x)
        return (self.shortcut(x) if self.shortcut else x) + y if self.add else y


def scaled(c, width):
    wanted = c * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class MobileNetV2(nn.Sequential):
    def __init__(self, width=0.35):
        act = nn.ReLU6
        c = scaled(32, width)
        layers = block(3, c, 3, 2, act=act)
        for t, n, repeat, first in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                    (6, 160, 3, 2), (6, 320, 1, 1)]:
            for r in range(repeat):
                stride, o, inside = first if r == 0 else 1, scaled(n, width), c * t
                body = block(c, inside, 1, 1, act=act) if t != 1 else []
                body += block(inside, inside, 3, stride, groups=inside, act=act) + block(inside, o, 1, 1, act=None)
                layers.append(Residual(body, add=stride == 1 and c == o))
                c = o
        super().__init__(*layers, *block(c, 1280, 1, 1, act=act), *head(1280, 10))


class DsCnn(nn.Sequential):
    def __init__(self):
        layers = block(1, 64, (10, 4), 2, padding=(5, 2))
        for _ in range(4):
            layers += block(64, 64, 3, 1, groups=64) + block(64, 64, 1, 1)
        super().__init__(*layers, *head(64, 12))


class ResNet8(nn.Sequential):
    def __init__(self):
        layers, c = block(3, 16, 3, 1), 16
        for n in [16, 32, 64]:
            stride = 1 if n == 16 else 2
            shortcut = nn.Sequential(*block(c, n, 1, stride, act=None, padding=0)) if stride == 2 else None
            layers.append(Residual(block(c, n, 3, stride) + block(n, n, 3, 1, act=None), shortcut))
            c = n
        super().__init__(*layers, *head(c, 10))


NETWORKS = {
    "separable": (Separable, (16, 3, 96, 96)),
    "mobilenet_v2_035": (MobileNetV2, (16, 3, 96, 96)),
    "ds_cnn": (DsCnn, (64, 1, 49, 10)),
    "resnet8": (ResNet8, (32, 3, 32, 32)),
}


def torch_steps(name, steps, channels_last):
    make, shape = NETWORKS[name]
    torch.manual_seed(1)
    model, x = make(), torch.randn(*shape)
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    labels = torch.arange(shape[0]) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        times.append((time.perf_counter() - begin) * 1e3)
    times.sort()
    return {"network": name, "parameters": sum(p.numel() for p in model.parameters()),
            "step_ms": times[len(times) // 2], "step_min_ms": times[0], "loss": loss.item()}


def measured(command, environment):
    """The JSON line that a command prints, with its peak resident memory in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    line = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: {' '.join(command)} failed")
    return json.loads(line) | {"peak_mib": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json")
    parser.add_argument("--torch", help=argparse.SUPPRESS)
    parser.add_argument("--channels-last", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.torch:
        torch.set_num_threads(options.threads)
        print(json.dumps(torch_steps(options.torch, options.steps, options.channels_last)))
        return
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
    subprocess.run(["cargo", "build", "-q", "--release", "-p", "cygnet-training", "--example", "speed"], check=True, cwd=root)
    environment = os.environ | {"RAYON_NUM_THREADS": str(options.threads)}
    rows = {}
    for _ in range(options.rounds):
        for name in NETWORKS:
            here = [sys.executable, os.path.abspath(__file__), "--torch", name, "--threads", str(options.threads),
                    "--steps", str(options.steps)]
            for peer, command in [
                ("cygnet", [os.path.join(target, "release/examples/speed"), str(options.steps), name]),
                ("torch", here),
                ("torch channels last", here + ["--channels-last"]),
            ]:
                rows.setdefault((name, peer), []).append(measured(command, environment))
    table = []
    for name in NETWORKS:
        for peer in ["cygnet", "torch", "torch channels last"]:
            runs = rows[name, peer]
            table.append({"network": name, "peer": peer, "parameters": runs[0]["parameters"],
                          "step_ms": sorted(r["step_ms"] for r in runs)[len(runs) // 2],
                          "step_min_ms": min(r["step_min_ms"] for r in runs),
                          "peak_mib": min(r["peak_mib"] for r in runs)})
    print("| Network | parameters | Cygnet ms (min) | PyTorch ms (min) | channels last ms (min) | throughput of PyTorch's best | memory MiB, PyTorch's |")
    print("|---|---|---|---|---|---|---|")
    for name in NETWORKS:
        c, t, l = [next(r for r in table if r["network"] == name and r["peer"] == p)
                   for p in ["cygnet", "torch", "torch channels last"]]
        best = min(t["step_ms"], l["step_ms"])
        print(f"| {name} | {c['parameters']:,} / {t['parameters']:,} | {c['step_ms']:.1f} ({c['step_min_ms']:.1f}) "
              f"| {t['step_ms']:.1f} ({t['step_min_ms']:.1f}) | {l['step_ms']:.1f} ({l['step_min_ms']:.1f}) "
              f"| {best / c['step_ms']:.2f} | {c['peak_mib']:.0f}, {min(t['peak_mib'], l['peak_mib']):.0f} |")
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"torch": version("torch"), "threads": options.threads, "rows": table}, f, indent=1)


if __name__ == "__main__":
    main()
