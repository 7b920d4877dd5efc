"""Files of raw values: the same bytes however they are written, and errors that nothing swallows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from made_images import write_jpeg

from densecast.errors import BadImageError
from densecast.imaging.prepare import prepare
from densecast.imaging.read import read_image
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitCentre, Preprocess, Stretch
from densecast.spec.sample import Sample
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.handoff import bins

FLOATS = Preprocess(FitCentre((64, 64)), mean=(1, 2, 3), std=(4, 5, 6))
BYTES = Preprocess(Stretch((40, 56)), mean=(1, 2, 3), std=(4, 5, 6), colour="BGR")


def spec_of(preprocess: Preprocess, dtype: str) -> ModelSpec:
    spec = tiny_artifacts.spec()
    shape = (1, 3, *preprocess.resize.size_hw)
    tensor = replace(spec.input, dtype=dtype, shape=shape)
    decode = SegmentationDecode(to_image="nearest_labels")
    return replace(spec.with_input(tensor), preprocess=preprocess, decode=decode)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Sample, str]]:
    """Seven different images, wide and tall."""
    folder = tmp_path_factory.mktemp("images")
    paths = [write_jpeg(folder / f"{i}.jpg", (48, 80) if i % 3 else (80, 60), i) for i in range(7)]
    return [(Sample(path.stem, path, path), path.stem) for path in paths]


@pytest.mark.parametrize("writer_thread", [False, True])
@pytest.mark.parametrize(("preprocess", "dtype"), [(FLOATS, "float32"), (BYTES, "uint8")])
def test_files_hold_what_the_network_sees(
    preprocess: Preprocess, dtype: str, writer_thread: bool, samples: list[tuple[Sample, str]], tmp_path: Path
) -> None:
    job = bins.Job(spec_of(preprocess, dtype), tmp_path, writer_thread)
    written = [(item.stem, (tmp_path / f"{item.stem}.bin").read_bytes()) for item in bins.write_all(job, samples, 1)]
    expected = [(stem, prepare(read_image(each.image), preprocess, dtype=dtype)[0].tobytes()) for each, stem in samples]
    assert written == expected
    assert len({raw for _, raw in written}) == len(samples)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{stem}.bin" for _, stem in samples]


@pytest.mark.parametrize("writer_thread", [False, True])
def test_what_cannot_be_written_or_read_is_said(
    writer_thread: bool, samples: list[tuple[Sample, str]], tmp_path: Path
) -> None:
    job = bins.Job(spec_of(FLOATS, "float32"), tmp_path / "out", writer_thread)
    (tmp_path / "out/5.bin").mkdir(parents=True)
    done = bins.write_all(job, samples, 1)
    assert [next(done).stem for _ in range(5)] == ["0", "1", "2", "3", "4"]
    with pytest.raises(IsADirectoryError):
        next(done)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(BadImageError, match=r"broken\.jpg"):
        list(bins.write_all(job, [samples[0], (Sample("x", broken, broken), "x")], 1))


def test_a_system_that_takes_little_at_once_gets_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:1000]))
    array = np.random.default_rng(0).random((3, 50, 40), np.float32)
    bins.write_bin(tmp_path / "x.bin", array[:, ::-1])
    assert (tmp_path / "x.bin").read_bytes() == array[:, ::-1].astype("<f4").tobytes()


def test_a_thread_writes_where_every_process_has_a_spare_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bins.machine, "usable_cpus", lambda: 4)
    assert [bins.has_spare_cpus(processes) for processes in (1, 2, 3, 4)] == [True, True, False, False]
