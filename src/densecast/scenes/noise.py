"""Value noise and fractal noise: smooth random textures from element-wise arithmetic."""

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]


def value_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells_hw: tuple[int, int]) -> Field:
    """(H, W) float32 in [0, 1]: random lattice values, blended by the smoothstep 3t² - 2t³.

    Args:
        rng: Source of the lattice; advanced by (cells_h + 1)(cells_w + 1) draws.
        size_hw: Pixels of the result.
        cells_hw: Lattice cells over the height and the width; 1 gives one slow gradient.

    """
    height, width = size_hw
    cells_h, cells_w = cells_hw
    lattice = rng.random((cells_h + 1, cells_w + 1), dtype=np.float32)
    row, row_weight = _smooth_steps(height, cells_h)
    column, column_weight = _smooth_steps(width, cells_w)
    # Columns first: the narrow lattice is widened once, and only whole rows are blended after that.
    wide = lattice[:, column] + (lattice[:, column + 1] - lattice[:, column]) * column_weight
    lower, upper = wide[row], wide[row + 1]
    field: Field = lower + (upper - lower) * row_weight[:, None]
    return field


def fractal(
    rng: np.random.Generator,
    size_hw: tuple[int, int],
    cells_hw: tuple[int, int],
    octaves: int,
    gain: float = 0.5,
) -> Field:
    """(H, W) float32 in [0, 1]: octaves of value noise, each twice as fine and `gain` times as strong."""
    total = np.zeros(size_hw, dtype=np.float32)
    amplitude, weight = 1.0, 0.0
    for octave in range(octaves):
        cells = (cells_hw[0] << octave, cells_hw[1] << octave)
        total += np.float32(amplitude) * value_noise(rng, size_hw, cells)
        weight += amplitude
        amplitude *= gain
    total /= np.float32(weight)
    return total


def tiled(tile: Field, x: Field, y: Field) -> Field:
    """The square tile at those places in its pixels; every other copy is mirrored, so that no seam shows."""
    side = len(tile)

    def fold(position: Field) -> npt.NDArray[np.int32]:
        place = position.astype(np.int32) % (2 * side)
        return np.minimum(place, 2 * side - 1 - place)

    # Negative numbers truncate towards zero, which would repeat a row there; the shift makes places positive.
    far = np.float32(64 * side)
    return tile[fold(y + far), fold(x + far)]


def _smooth_steps(length_px: int, cells: int) -> tuple[npt.NDArray[np.intp], Field]:
    """Per pixel: the lattice cell that its centre lies in, and its smoothed place in the cell."""
    position = (np.arange(length_px, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / length_px)
    cell = np.minimum(position.astype(np.intp), cells - 1)
    place = (position - cell).astype(np.float32)
    smooth: Field = place * place * (np.float32(3) - np.float32(2) * place)
    return cell, smooth
