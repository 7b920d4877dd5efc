"""Train the small segmentation networks that come with densecast, on street images drawn on the spot.

    python training/segmentation_tiny.py --model fcn_tiny --out src/densecast/zoo/weights/fcn_tiny.safetensors

Pictures go to `--data` and are drawn there when missing. The loss is cross-entropy of the logits, brought up to
the image's size, with mild class weights; OCRNet's first head is trained beside its second, at 0.4 of the
weight as in MMSegmentation. Training runs in bfloat16, first on small windows, where a step costs less. The
score stored with the weights is the mIoU over one confusion matrix of the averaged weights, in float32, on
images of another seed.
"""

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from densecast.networks import deeplabv3, fcn, ocrnet
from densecast.scenes import street
from street_examples import Bytes, Window, draw, normalised, read

TRAIN_SEED, HELD_OUT_SEED = 1, 2  # the demo's images are of another seed
CLASSES, IGNORED = 19, 255
COARSE_WEIGHT = 0.4

MODELS = {
    "ocrnet_hr18s_tiny": (
        ocrnet,
        ocrnet.Options(
            base_width=8,
            stem_width=24,
            stem_blocks=1,
            modules=(1, 1, 1),
            blocks=2,
            ocr_channels=64,
            ocr_key_channels=24,
        ),
    ),
    "deeplabv3_tiny": (
        deeplabv3,
        deeplabv3.Options(base_width=8, blocks=(1, 1, 2, 3), head_channels=22, rates=(2, 4, 6)),
    ),
    "fcn_tiny": (fcn, fcn.Options(classes=CLASSES, base_width=8, blocks=(2, 2, 3, 2), head_channels=40)),
}

# Until this share of the training, batches are cut like this.
STAGES = (
    (0.5, Window((128, 256), (0.5, 1.0), 12, 2)),
    (0.8, Window((192, 384), (0.65, 1.3), 8, 2)),
    (1.01, Window((256, 512), (0.85, 1.3), 5, 1)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(tempfile.gettempdir(), "densecast-street"),
        help="scratch folder for the images",
    )
    parser.add_argument("--train-count", type=int, default=2000)
    parser.add_argument("--held-out-count", type=int, default=120)
    parser.add_argument("--start", type=Path, help="weights of the same model to go on from")
    parser.add_argument("--minutes", type=float, default=14, help="of training; the learning rate falls to fit")
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    held_out = read(arguments.data, HELD_OUT_SEED, arguments.held_out_count)
    network = train(*read(arguments.data, TRAIN_SEED, arguments.train_count), arguments)
    per_class = ious(confusion(network, *held_out))
    mean = float(np.nanmean(per_class))
    print("IoU per class:", " ".join(f"{value:.3f}" for value in per_class))
    print(f"held-out mIoU: {mean:.4f}, n={len(held_out[0])}")
    generator = f"{street.NAME} version {street.VERSION}"
    metadata = {
        "command": shlex.join(["python", "training/segmentation_tiny.py", *sys.argv[1:]]),
        "data": f"{generator}, seed {TRAIN_SEED}, {arguments.train_count} images",
        "miou": f"{mean:.6f}",
        "miou_data": f"{generator}, seed {HELD_OUT_SEED}, {arguments.held_out_count} images",
        "model": arguments.model,
        "seed": str(arguments.seed),
        "torch": torch.__version__,
    }
    if arguments.start:
        with safe_open(arguments.start, framework="pt") as before:
            metadata["started_from"] = before.metadata()["command"]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    # The counters of batches seen have no part in evaluation and would take a hundredth of the file.
    kept = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    save_file({key: value.contiguous() for key, value in kept.items()}, arguments.out, metadata)
    restored = built(arguments.model, arguments.out).eval()
    few = held_out[0][:4], held_out[1][:4]
    assert np.array_equal(confusion(restored, *few), confusion(network, *few))
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


def built(model: str, weights: Path | None = None) -> nn.Module:
    """The network of that name, untrained or with the weights of a file that this script wrote."""
    module, options = MODELS[model]
    network = module.build(options)
    if weights:
        differences = network.load_state_dict(load_file(weights), strict=False)
        assert not differences.unexpected_keys
        assert all(key.endswith("num_batches_tracked") for key in differences.missing_keys)
    return network


def train(images: Bytes, classes: Bytes, arguments: argparse.Namespace) -> nn.Module:
    """The averaged network in evaluation mode: AdamW, a short rise of the learning rate, then one cosine."""
    network = built(arguments.model, arguments.start).to(memory_format=torch.channels_last).train()
    averaged = AveragedModel(network, avg_fn=moved_towards, use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=arguments.learning_rate, weight_decay=1e-3, fused=True)
    weights = torch.from_numpy(class_weights(classes))
    coarse = remember_coarse_logits(network)
    rng = np.random.default_rng([arguments.seed, 1])
    start, running, step = time.monotonic(), 0.0, 0
    while (progress := (time.monotonic() - start) / (60 * arguments.minutes)) < 1:
        for group in optimiser.param_groups:
            rise = min(1.0, (step + 1) / 150)
            group["lr"] = arguments.learning_rate * rise * 0.5 * (1 + np.cos(np.pi * progress))
        window = next(window for until, window in STAGES if progress < until)
        batch, target = draw(images, classes, window, rng)
        # Pixels that lie a half off the thinned grid's centres, to either side by chance, which evens out.
        first = rng.integers(0, window.stride, 2)
        target = target[:, first[0] :: window.stride, first[1] :: window.stride]
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(batch)
        value = loss(logits, target, weights)
        if coarse:
            value = value + COARSE_WEIGHT * loss(coarse.pop(), target, weights)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        averaged.update_parameters(network)
        running += (value.item() - running) / min(step + 1, 50)
        if step % 50 == 0:
            print(f"step {step:5d}  {60 * arguments.minutes * progress:6.0f} s  loss {running:.4f}", flush=True)
        step += 1
    return averaged.module.to(memory_format=torch.contiguous_format).eval()


def moved_towards(average: Tensor, value: Tensor, steps: Tensor | int) -> Tensor:
    """The running average after one more value: over all steps so far at first, over about 200 later on."""
    if not average.is_floating_point():
        return value
    return torch.lerp(average, value, 1 - min(0.995, (1 + int(steps)) / (10 + int(steps))))


def remember_coarse_logits(network: nn.Module) -> list[Tensor]:
    """A list that holds OCRNet's first head's logits after each forward pass; empty for other networks."""
    kept: list[Tensor] = []
    if isinstance(network, ocrnet.OCRNet):
        network.decode_head[0].register_forward_hook(lambda module, inputs, logits: kept.append(logits))
    return kept


def class_weights(classes: Bytes) -> npt.NDArray[np.float32]:
    """(19,) the inverse fourth root of each class's share: from about a half for road to three for a rare one."""
    counts = np.bincount(classes[::4].reshape(-1), minlength=256)[:CLASSES]
    weights = (counts / counts.sum() + 1e-4) ** -0.25
    return (weights / weights.mean()).astype(np.float32)


def loss(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy of logits brought up to the target's size."""
    raised = functional.interpolate(logits.float(), size=target.shape[1:], mode="bilinear", align_corners=False)
    return functional.cross_entropy(raised, target, weights, ignore_index=IGNORED)


@torch.inference_mode()
def confusion(network: nn.Module, images: Bytes, classes: Bytes) -> npt.NDArray[np.int64]:
    """(19, 19) pixels by true and by predicted class, ignored ones left out."""
    total = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    for image, truth in zip(images, classes, strict=True):
        logits = network(normalised(image[None]).contiguous())
        raised = functional.interpolate(logits, size=truth.shape, mode="bilinear", align_corners=False)
        predicted, known = raised.argmax(dim=1)[0].numpy(), truth != IGNORED
        pairs = CLASSES * truth[known].astype(np.int64) + predicted[known]
        total += np.bincount(pairs, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES)
    return total


def ious(total: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(19,) intersection over union of each class; NaN where it is neither there nor predicted."""
    both = np.diag(total).astype(np.float64)
    union = total.sum(axis=0) + total.sum(axis=1) - both
    return np.divide(both, union, out=np.full(CLASSES, np.nan), where=union > 0)


if __name__ == "__main__":
    main()
