"""Export a shipped network, build it in 16 bits, and segment one picture: the shortest way through densecast.

Needs the [torch] extra for the export; the built model runs without it.
"""

import tempfile
from pathlib import Path

import numpy as np

from densecast import BuildOptions, InputShape, Pipeline, export_zoo
from densecast.scenes import turntable
from densecast.verbs.builder import build


def main() -> None:
    """Print which share of a procedural picture is car, and how much of the truth that covers."""
    scene = turntable.render(seed=5, index=3, size_hw=(320, 480))
    with tempfile.TemporaryDirectory() as folder:
        exported = export_zoo("unet_tiny", Path(folder) / "float")
        shape = InputShape(height=160, width=240)  # the network sees pictures at half their size
        built = build(exported, Path(folder) / "fp16", BuildOptions(precision="force_float16", shape=shape))
        with Pipeline.open(built) as pipeline:
            prediction = pipeline(scene.image)
            car = prediction.class_id == 1
            overlap = np.count_nonzero(car & (scene.mask == 1)) / np.count_nonzero(scene.mask)
            print(f"{pipeline.runner.precision}: {car.mean():.1%} of the picture is car, {overlap:.1%} of it found")


if __name__ == "__main__":
    main()
