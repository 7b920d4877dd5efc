"""What the benchmarks measure: a network at its reference's size, images it is used on, and its builds.

Weights are random where none are shipped: a network's speed does not depend on them. Grouping of people does depend
on how many are found, and random weights find nobody, so the graph of a pose network ends in a sum with the maps of
some drawn people: all contenders run that graph, and find the same ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import crowds
from densecast import BuildOptions, ExportOptions, InputShape, QuantizeOptions, build, export_zoo
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.imaging.read import size_hw as size_of
from densecast.networks._base import NETWORKS
from densecast.spec.precision import Precision, short
from densecast.zoo._base import ZOO, ZooEntry

PRECISIONS: tuple[Precision, ...] = ("force_float32", "force_float16", "qint8_mixed_float16")
# Ranges stop moving after a few images of one kind, and speed does not depend on them.
CALIBRATION_IMAGES = 2
SEED = 7
QUIET = 0.01


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """One network: how its procedural images are drawn into a folder, and what its batch is."""

    model: str
    draw: Callable[[Path, int], list[Path]]
    batch: int = 1
    people: int = 0
    """found in every image, whatever it shows; 0 for whom the network finds"""

    @property
    def entry(self) -> ZooEntry:
        """The network's entry in the zoo."""
        return ZOO.load(self.model)

    def images(self, folder: Path, count: int, given: Path | None = None) -> list[Path]:
        """`count` images of one size: from the folder `given`, or drawn."""
        if given is None:
            return self.draw(folder / f"images_{count}", count)
        from densecast.imaging.folder import images_in

        found = images_in(given)
        first_hw = size_of(found[0])
        return [path for path in found if size_of(path) == first_hw][:count]

    def exported(self, folder: Path) -> FloatArtifact:
        """The float artifact, with the shipped weights or random ones."""
        target = folder / "float"
        if (target / "manifest.json").is_file():
            return FloatArtifact.open(target)
        checkpoint = None
        if not self.entry.checkpoint.shipped:
            checkpoint = folder / "weights.pth"
            random_checkpoint(self.entry, checkpoint)
        artifact = export_zoo(self.model, target, ExportOptions(), given=checkpoint)
        if checkpoint:
            checkpoint.unlink()
        return artifact

    def built(self, folder: Path, precision: Precision, images: list[Path]) -> CompiledArtifact:
        """The OpenVINO build for the size that the images lead to; kept from an earlier run where it is the same."""
        source = self.source(folder, images)
        height, width = self.model_hw(images)
        options = BuildOptions(
            "openvino",
            precision,
            InputShape((self.batch,), height, width),
            QuantizeOptions(images=CALIBRATION_IMAGES, calibration_method="mean_minmax"),
        )
        return build(source, folder / short(precision), options, data=images[0].parent)

    def source(self, folder: Path, images: list[Path]) -> FloatArtifact:
        """What is built: the exported graph, with the drawn people where there are some."""
        exported = self.exported(folder)
        if not self.people:
            return exported
        return crowds.with_people(exported, folder, self.model_hw(images), self.people)

    def fixed_onnx(self, folder: Path, images: list[Path]) -> Path:
        """The exported graph with the input's shape fixed and nothing else done to it."""
        import onnx

        from densecast.graph import fix_shape

        source = self.source(folder, images)
        target = folder / "fixed.onnx"
        shape = (self.batch, 3, *self.model_hw(images))
        spec = dataclasses.replace(source.spec.input, shape=shape)
        onnx.save(fix_shape.apply(onnx.load(source.file("model.onnx")), spec).model, target)
        return target

    def model_hw(self, images: list[Path]) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.entry.spec.preprocess.resize.place(size_of(images[0])).model_hw


def random_checkpoint(entry: ZooEntry, path: Path) -> None:
    """Weights as torch initialises them, and batch statistics as after a little training."""
    import torch

    torch.manual_seed(0)
    assert entry.network is not None
    plugin = NETWORKS.load(entry.network)
    network = plugin.build(plugin.options_type(**entry.options)).train()
    with torch.no_grad():
        network(torch.rand(2, 3, 128, 192))
    path.parent.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    if entry.spec.task == "pose":
        # Noise that random weights make stays below what counts as a joint.
        last = [key for key in state if "final_layer." in key]
        state |= {key: state[key] * QUIET for key in last}
    torch.save(state, path)


def cars(folder: Path, count: int) -> list[Path]:
    """JPEGs of 1280 by 1918 pixels, as Carvana's."""
    from densecast.scenes import write_carvana

    write_carvana.write(folder, count, size_hw=(1280, 1918), seed=SEED, workers=1)
    return sorted((folder / "imgs").glob("*.jpg"))


def small_cars(folder: Path, count: int) -> list[Path]:
    """JPEGs at the size of the turntable's own images."""
    from densecast.scenes import write_carvana

    write_carvana.write(folder, count, seed=SEED, workers=1)
    return sorted((folder / "imgs").glob("*.jpg"))


def squares(folder: Path, count: int) -> list[Path]:
    """JPEGs of 500 by 500 pixels, as many of VOC's are."""
    from densecast.scenes import write_carvana

    write_carvana.write(folder, count, size_hw=(500, 500), seed=SEED, workers=1)
    return sorted((folder / "imgs").glob("*.jpg"))


def streets(folder: Path, count: int) -> list[Path]:
    """PNGs of 1024 by 2048 pixels, as Cityscapes'."""
    from densecast.scenes import write_cityscapes

    write_cityscapes.write(folder, count, size_hw=(1024, 2048), seed=SEED, workers=1)
    return _flat(folder, sorted((folder / "leftImg8bit").rglob("*.png")))


def small_streets(folder: Path, count: int) -> list[Path]:
    """PNGs of 256 by 512 pixels, what the small street networks were trained on."""
    from densecast.scenes import write_cityscapes

    write_cityscapes.write(folder, count, seed=SEED, workers=1)
    return _flat(folder, sorted((folder / "leftImg8bit").rglob("*.png")))


def people(folder: Path, count: int) -> list[Path]:
    """JPEGs of people, all of the size that most of them have."""
    from densecast.scenes import write_coco

    write_coco.write(folder, 4 * count, seed=SEED, workers=1)
    found = sorted(folder.glob("*2017/*.jpg"))
    sizes = [size_of(path) for path in found]
    usual = max(set(sizes), key=lambda hw: (sizes.count(hw), hw))
    return _flat(folder, [path for path, hw in zip(found, sizes, strict=True) if hw == usual][:count])


def _flat(folder: Path, images: list[Path]) -> list[Path]:
    """The same files in one folder, by hard links: what calibration takes as a plain folder of images."""
    flat = folder / "flat"
    flat.mkdir(exist_ok=True)
    for path in images:
        if not (flat / path.name).exists():
            (flat / path.name).hardlink_to(path)
    return sorted(flat.iterdir())


SUBJECTS = {
    subject.model: subject
    for subject in (
        Subject("unet_carvana", cars),
        Subject("fcn_r50_d8_voc", squares),
        Subject("ocrnet_hr18", streets),
        Subject("deeplabv3_r101_d16_mg124", streets),
        Subject("unet_s5_d16", streets),
        Subject("mobilenetv2_ae", people, batch=2, people=3),
        Subject("res50_ae", people, batch=2, people=3),
        Subject("hrnet_w32_ae", people, batch=2, people=3),
        Subject("unet_tiny", small_cars),
        Subject("fcn_tiny", small_cars),
        Subject("ocrnet_hr18s_tiny", small_streets),
        Subject("deeplabv3_tiny", small_streets),
    )
}
