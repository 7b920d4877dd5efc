"""Export a shipped network, build it in 16 bits, and segment one image: the shortest way through densecast.

Needs the [torch] extra for the export; the built model runs without it.
"""

import tempfile
from pathlib import Path

import numpy as np

import densecast
from densecast.scenes import turntable  # draws the image here; yours comes from `densecast.read_image`


def main() -> None:
    """Print which share of a procedural image is car, and how much of the truth that covers."""
    scene = turntable.render(seed=5, index=3, size_hw=(320, 480))
    with tempfile.TemporaryDirectory() as folder:
        exported = densecast.export("unet_tiny", Path(folder) / "float")
        shape = densecast.InputShape(height=160, width=240)  # the network sees images at half their size
        options = densecast.BuildOptions(precision="force_float16", shape=shape)
        built = densecast.build(exported, Path(folder) / "fp16", options)
        with densecast.Pipeline.open(built) as pipeline:
            prediction = pipeline(scene.image)
            car = prediction.class_id == 1
            overlap = np.count_nonzero(car & (scene.mask == 1)) / np.count_nonzero(scene.mask)
            print(f"{pipeline.precision}: {car.mean():.1%} of the image is car, {overlap:.1%} of it found")


if __name__ == "__main__":
    main()
