"""Train `unet_tiny`, the small UNet that comes with densecast, on turntable images drawn on the spot.

    python training/unet_tiny.py --out src/densecast/zoo/weights/unet_tiny.safetensors

Pictures go to `--data` and are drawn there when missing. Input and loss are those of milesial/Pytorch-UNet:
bicubic to half size, 0..1, cross-entropy plus (1 - Dice). Training runs in bfloat16; the score stored with
the weights is measured in float32 on images of another seed.
"""

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from densecast.networks import unet
from densecast.scenes import turntable, write_carvana

TRAIN_SEED, HELD_OUT_SEED = 1, 2  # the demo's images are of seed 0
SCALE = 0.5
OPTIONS = unet.Options(base_width=8)
COARSE_SHARE = 0.35  # of the training runs at half the size, where a step costs a quarter

Bytes = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(tempfile.gettempdir(), "densecast-turntable"),
        help="scratch folder for the images",
    )
    parser.add_argument("--train-count", type=int, default=2048)
    parser.add_argument("--held-out-count", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--minutes", type=float, default=None, help="stop earlier; the learning rate falls to fit")
    parser.add_argument("--start", type=Path, default=None, help="weights to go on from, at full size only")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    images, masks = read_images(arguments.data, TRAIN_SEED, arguments.train_count)
    network = train(images, masks, arguments)
    held_out = read_images(arguments.data, HELD_OUT_SEED, arguments.held_out_count)
    scores = dice_per_image(network, *held_out)
    print(f"held-out Dice per image: mean {scores.mean():.4f}, worst {scores.min():.4f}, n={len(scores)}")
    generator = f"{turntable.NAME} version {turntable.VERSION}"
    metadata = {
        "started_from": read_metadata(arguments.start).get("command", "") if arguments.start else "random weights",
        "command": command_line(),
        "data": f"{generator}, seed {TRAIN_SEED}, {arguments.train_count} images, scale {SCALE}",
        "dice_per_image": f"{scores.mean():.6f}",
        "dice_data": f"{generator}, seed {HELD_OUT_SEED}, {arguments.held_out_count} images, scale {SCALE}",
        "seed": str(arguments.seed),
        "torch": torch.__version__,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, arguments.out, metadata)
    arguments.out.chmod(0o644)  # safetensors writes files for their owner alone
    restored = unet.build(OPTIONS).eval()
    restored.load_state_dict(load_file(arguments.out))
    assert np.array_equal(dice_per_image(restored, held_out[0][:8], held_out[1][:8]), scores[:8])
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


def command_line() -> str:
    """The command as it was given, without the folders of this machine."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return shlex.join(["python", "training/unet_tiny.py", *words])


def read_metadata(path: Path) -> dict[str, str]:
    """What was stored beside the weights."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def read_images(folder: Path, seed: int, count: int) -> tuple[Bytes, Bytes]:
    """(n, h, w, 3) images and (n, h, w) masks at half size; drawn first where they are missing."""
    root = folder / f"seed{seed}_{count}"
    print(f"images: {root}", flush=True)
    write_carvana.write(root, count, seed=seed)
    images, masks = [], []
    for path in sorted((root / "imgs").glob("*.jpg")):
        image, mask = load(path, root / "masks" / f"{path.stem}_mask.gif")
        images.append(image)
        masks.append(mask)
    return np.stack(images), np.stack(masks)


def load(image_path: Path, mask_path: Path) -> tuple[Bytes, Bytes]:
    """One image (h, w, 3), bicubic, and its mask (h, w) of 0 and 1, nearest, both at half size."""
    with Image.open(image_path) as image, Image.open(mask_path) as mask:
        size_wh = (int(SCALE * image.width), int(SCALE * image.height))
        small = np.asarray(image.convert("RGB").resize(size_wh, Image.Resampling.BICUBIC))
        truth = np.asarray(mask.convert("L").resize(size_wh, Image.Resampling.NEAREST))
    return small, (truth > 0).astype(np.uint8)


def train(images: Bytes, masks: Bytes, arguments: argparse.Namespace) -> torch.nn.Module:
    """The trained network in evaluation mode: AdamW, one cosine from the full learning rate to nothing."""
    network = unet.build(OPTIONS).to(memory_format=torch.channels_last)
    if arguments.start is not None:
        network.load_state_dict(load_file(arguments.start))
    coarse_until = COARSE_SHARE if arguments.start is None else 0.0
    optimiser = torch.optim.AdamW(network.parameters(), lr=arguments.learning_rate, weight_decay=1e-4)
    fine, coarse = (images, masks), (halved(images), masks[:, 1::2, 1::2])
    steps = len(images) // arguments.batch * arguments.epochs
    start, running = time.monotonic(), 0.0
    rng = np.random.default_rng([arguments.seed, 1])
    network.train()
    for step in range(steps):
        # With a time limit, progress is whichever of steps and minutes is further on.
        seconds = time.monotonic() - start
        progress = max(step / steps, seconds / (60 * arguments.minutes) if arguments.minutes else 0.0)
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            warm_up = min(1.0, (step + 1) / 100)
            group["lr"] = arguments.learning_rate * warm_up * 0.5 * (1 + np.cos(np.pi * progress))
        batch, target = draw(*(coarse if progress < coarse_until else fine), arguments.batch, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(batch)
        loss = _loss(logits.float(), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        running += (loss.item() - running) / min(step + 1, 50)
        if step % 50 == 0:
            print(f"step {step:5d}  {seconds:6.0f} s  progress {progress:.2f}  loss {running:.4f}", flush=True)
    return network.to(memory_format=torch.contiguous_format).eval()


def halved(images: Bytes) -> Bytes:
    """(n, h, w, 3) -> (n, h // 2, w // 2, 3), the mean of every two by two pixels."""
    even = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2]
    return np.stack(
        [
            ((i[::2, ::2].astype(np.uint16) + i[::2, 1::2] + i[1::2, ::2] + i[1::2, 1::2] + 2) // 4).astype(np.uint8)
            for i in even
        ]
    )


def draw(images: Bytes, masks: Bytes, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A batch (n, 3, h, w) in 0..1 and (n, h, w) int64: mirrored, brightness and colour varied."""
    chosen = rng.choice(len(images), count, replace=False)
    picked, target = images[chosen], masks[chosen][:, :, : images.shape[2]]
    mirrored = rng.random(count) < 0.5
    picked[mirrored], target[mirrored] = picked[mirrored, :, ::-1], target[mirrored, :, ::-1]
    gain = rng.uniform(0.75, 1.3, (count, 1)) * rng.uniform(0.9, 1.1, (count, 3)) / 255
    lift = rng.uniform(-0.12, 0.12, (count, 1))
    # Channels last, which is how images lie in memory and what convolutions on processors like best.
    batch = torch.from_numpy(picked).permute(0, 3, 1, 2).float()
    batch.mul_(torch.from_numpy(gain).float()[..., None, None])
    batch.add_(torch.from_numpy(lift).float()[..., None, None]).clamp_(0, 1)
    return batch, torch.from_numpy(target).long()


def _loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy plus one minus the soft Dice of the car, over the batch."""
    share = logits.softmax(dim=1)[:, 1]
    wanted = target.float()
    dice = (2 * (share * wanted).sum() + 1e-6) / (share.sum() + wanted.sum() + 1e-6)
    return functional.cross_entropy(logits, target) + 1 - dice


@torch.inference_mode()
def dice_per_image(network: torch.nn.Module, images: Bytes, masks: Bytes) -> npt.NDArray[np.float64]:
    """(n,) Dice of the car in each image: (2·|p∧t| + ε) / (|p| + |t| + ε); both empty gives 1."""
    scores = []
    for image, mask in zip(images, masks, strict=True):
        batch = torch.from_numpy(image).permute(2, 0, 1)[None].float().div(255)
        predicted = network(batch).argmax(dim=1)[0].numpy().astype(bool)
        both, total = 2.0 * np.count_nonzero(predicted & (mask > 0)), predicted.sum() + np.count_nonzero(mask)
        scores.append((both + 1e-6) / ((total or both) + 1e-6))
    return np.array(scores)


if __name__ == "__main__":
    main()
