"""Which axes of an output are open: by what an output was for images of several sizes."""

from __future__ import annotations

import pytest

from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export import outputs

OPEN = TensorSpec("image", "float32", (Dim("N", 1, 8), 3, Dim("H", 8, 512), Dim("W", 8, 640)))
ONE_SIZE = TensorSpec("image", "float32", (1, 3, 64, 96))
ONE_IMAGE = TensorSpec("image", "float32", (1, 3, Dim("H", 8, 512), Dim("W", 8, 640)))
BATCH, HEIGHT, WIDTH = Dim("N", 1, 8), Dim("H_out", 1, 512), Dim("W_out", 1, 640)
SMALL, LARGE, TALL = (1, 3, 64, 96), (1, 3, 128, 160), (1, 3, 128, 96)


def free(axis: int) -> Dim:
    return Dim(f"out_{axis}", 1, 1 << 24)


@pytest.mark.parametrize(
    ("image", "observed", "shape"),
    [
        # Maps have the image's open sides, whether they changed or not, and channels of their own.
        (OPEN, [(SMALL, (1, 2, 64, 96)), (LARGE, (1, 2, 128, 160))], (BATCH, 2, HEIGHT, WIDTH)),
        (OPEN, [(SMALL, (1, 2, 16, 24)), (TALL, (1, 2, 32, 24))], (BATCH, 2, HEIGHT, WIDTH)),
        (OPEN, [(SMALL, (1, 2, 7, 7)), (LARGE, (1, 2, 7, 7))], (BATCH, 2, HEIGHT, WIDTH)),
        (OPEN, [(SMALL, (1, 2, 64, 96)), (LARGE, (1, 5, 128, 160))], (BATCH, free(1), HEIGHT, WIDTH)),
        (ONE_IMAGE, [(SMALL, (1, 2, 64, 96)), (LARGE, (1, 2, 128, 160))], (1, 2, HEIGHT, WIDTH)),
        (ONE_SIZE, [(SMALL, (1, 2, 64, 96))], (1, 2, 64, 96)),
        # Labels without a channel axis.
        (OPEN, [(SMALL, (1, 64, 96)), (LARGE, (1, 128, 160))], (BATCH, HEIGHT, WIDTH)),
        # What stays while the image's side changes is no side.
        (OPEN, [(SMALL, (1, 17, 3)), (LARGE, (1, 17, 3))], (BATCH, 17, 3)),
        (OPEN, [(SMALL, (1, 17, 24)), (TALL, (1, 17, 24))], (BATCH, 17, WIDTH)),
        (OPEN, [(SMALL, (1, 17, 3))], (BATCH, HEIGHT, WIDTH)),
        # Of five axes the last two are sides.
        (OPEN, [(SMALL, (1, 2, 4, 64, 96)), (LARGE, (1, 2, 5, 128, 160))], (BATCH, 2, free(2), HEIGHT, WIDTH)),
        # Of one or two axes only the batch is the image's.
        (OPEN, [(SMALL, (1, 1000)), (LARGE, (1, 1000))], (BATCH, 1000)),
        (OPEN, [(SMALL, (1, 384)), (LARGE, (1, 1280))], (BATCH, free(1))),
        (ONE_IMAGE, [(SMALL, (6, 4)), (LARGE, (24, 4))], (6, 4)),
        (OPEN, [(SMALL, (1,)), (LARGE, (1,))], (BATCH,)),
    ],
)
def test_axes_are_open_where_the_images_are_or_where_they_changed(
    image: TensorSpec, observed: list[tuple[tuple[int, ...], tuple[int, ...]]], shape: tuple[int | Dim, ...]
) -> None:
    assert outputs.describe("out", "float32", observed, image) == TensorSpec("out", "float32", shape)
