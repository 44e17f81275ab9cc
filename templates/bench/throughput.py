"""A short, real throughput measurement with PyTorch: training steps on synthetic tensors, median of several windows.

    python3 throughput.py '{"model": "resnet50", "precision": "fp32", "batch_size": 64, "count": 1, "windows": 5,
                            "window_s": 2.0, "small": false, "device": "auto"}'

Prints one line `gpucloud-bench {json}`. Exit 3: no PyTorch; 4: no such device; 5: does not fit even with batch 1.
Travels as text to the machine; nothing of gpucloud is needed there.
"""

import json
import os
import statistics
import sys
import time

PORT = 29533
STEPS_AT_ONCE = 4  # between two looks at the clock: a look makes the device wait


def main(asked):
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed here.", file=sys.stderr)
        return 3
    device = asked["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    visible = torch.cuda.device_count() if device == "cuda" else 1 << 10
    count = asked["count"] or (visible if device == "cuda" else 1)
    if count > visible:
        print("%d GPUs are asked for, %d are visible." % (count, visible), file=sys.stderr)
        return 4
    asked = dict(asked, device=device, count=count)
    while asked["batch_size"] >= 1:
        told = together(asked)
        if told is not None:
            print("gpucloud-bench " + json.dumps(told), flush=True)
            return 0
        asked["batch_size"] //= 2
        print("Out of memory: trying with batch %d." % asked["batch_size"], file=sys.stderr)
    return 5


def together(asked):
    """The figures of all processes, one a device; None when memory ran out."""
    if asked["count"] == 1:
        return measure(0, asked)
    import torch.multiprocessing as multiprocessing

    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    workers = [context.Process(target=worker, args=(rank, asked, answers)) for rank in range(asked["count"])]
    for process in workers:
        process.start()
    told = answers.get()
    for process in workers:
        process.join()
    return told


def worker(rank, asked, answers):
    told = measure(rank, asked)
    if rank == 0:
        answers.put(told)


def measure(rank, asked):
    import torch

    cuda = asked["device"] == "cuda"
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    elif asked["count"] > 1:
        torch.set_num_threads(1)
    torch.manual_seed(rank)
    tf32 = asked["precision"] == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    out_of_memory = getattr(torch, "OutOfMemoryError", None) or torch.cuda.OutOfMemoryError
    try:
        step = training_step(rank, asked, device)
        windows = timed(step, asked, torch.cuda.synchronize if cuda else (lambda: None))
    except out_of_memory:
        return None
    finally:
        if asked["count"] > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    unit, per_step = ("tokens/s", length(asked)) if asked["model"] == "gpt2" else ("samples/s", 1)
    rates = [rate * asked["batch_size"] * asked["count"] * per_step for rate in windows]
    return {
        "model": asked["model"] + ("-small" if asked["small"] else ""),
        "precision": asked["precision"],
        "batch_size": asked["batch_size"],
        "count": asked["count"],
        "unit": unit,
        "value": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "windows": rates,
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "driver": driver() if cuda else None,
        "memory_gib": torch.cuda.max_memory_allocated(device) / 2**30 if cuda else None,
    }


def timed(step, asked, wait):
    """Steps a second in each window, after a warm-up of one window."""
    windows = []
    for number in range(asked["windows"] + 1):
        wait()
        begin = now = time.perf_counter()
        steps = 0
        # All processes take the same number of steps: a step of one waits for the others.
        over = False
        while not over:
            for _ in range(STEPS_AT_ONCE):
                step()
            steps += STEPS_AT_ONCE
            wait()
            now = time.perf_counter()
            over = agreed(asked, now - begin >= asked["window_s"])
        if number:
            windows.append(steps / (now - begin))
    return windows


def agreed(asked, done):
    """Whether the first process says that the window is over."""
    if asked["count"] == 1:
        return done
    import torch

    word = torch.tensor([int(done)], device=asked["device"])
    torch.distributed.broadcast(word, 0)
    return bool(word.item())


def training_step(rank, asked, device):
    """A function that takes one step: forward, backward, update."""
    import torch

    model = (gpt(asked) if asked["model"] == "gpt2" else resnet(asked)).to(device)
    if asked["count"] > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(PORT))
        backend = "nccl" if asked["device"] == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, rank=rank, world_size=asked["count"])
        ids = [rank] if asked["device"] == "cuda" else None
        model = torch.nn.parallel.DistributedDataParallel(model, device_ids=ids)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    inputs, targets = batch(asked, device)
    kinds = {"fp16": torch.float16, "mixed": torch.float16, "bf16": torch.bfloat16}
    kind = kinds.get(asked["precision"])
    scaler = torch.amp.GradScaler(asked["device"], enabled=kind is torch.float16 and asked["device"] == "cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(asked["device"], dtype=kind, enabled=kind is not None):
            output = model(inputs)
            loss = torch.nn.functional.cross_entropy(output.reshape(-1, output.shape[-1]), targets.reshape(-1))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def length(asked):
    return 64 if asked["small"] else 1024


def batch(asked, device):
    import torch

    rows = asked["batch_size"]
    if asked["model"] == "gpt2":
        words = 512 if asked["small"] else 50257
        tokens = torch.randint(words, (rows, length(asked)), device=device)
        return tokens, tokens
    side = 32 if asked["small"] else 224
    return torch.randn(rows, 3, side, side, device=device), torch.randint(1000, (rows,), device=device)


def resnet(asked):
    """ResNet-50 (He et al. 2015): bottleneck blocks 3, 4, 6, 3; stride in the 3 x 3 convolution."""
    from torch import nn

    blocks = (1, 1, 1, 1) if asked["small"] else (3, 4, 6, 3)

    class Block(nn.Module):
        def __init__(self, inside, width, stride):
            super().__init__()
            out = 4 * width
            self.body = nn.Sequential(
                nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
            )  # fmt: skip
            same = inside == out and stride == 1
            short = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            self.short = nn.Identity() if same else short

        def forward(self, x):
            return nn.functional.relu(self.body(x) + self.short(x))

    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for stage, depth in enumerate(blocks):
        for number in range(depth):
            width, stride = 64 * 2**stage, 2 if stage and not number else 1
            layers.append(Block(inside, width, stride))
            inside = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


def gpt(asked):
    """GPT-2 (Radford et al. 2019), 124 M parameters: 12 layers of width 768, 12 heads, 1,024 tokens."""
    import torch
    from torch import nn

    depth, width, heads, words = (2, 64, 2, 512) if asked["small"] else (12, 768, 12, 50257)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
            self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            rows, tokens, _ = x.shape
            parts = self.mix(self.before(x)).view(rows, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            seen = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(rows, tokens, width))
            return x + self.feed(self.after(x))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length(asked), width)
            self.layers, self.norm = nn.ModuleList([Layer() for _ in range(depth)]), nn.LayerNorm(width)

        def forward(self, tokens):
            x = self.words(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
            for layer in self.layers:
                x = layer(x)
            return self.norm(x) @ self.words.weight.t()

    return Model()


def driver():
    import subprocess

    try:
        words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(words, stdout=subprocess.PIPE, timeout=20).stdout.decode().split("\n")[0].strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
