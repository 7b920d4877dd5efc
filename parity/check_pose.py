"""Compare bottom-up pose networks built from MMPose's configurations with the originals: inputs, heads and people.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/check_pose.py [WORD …] [--all]
The configurations are those inside the wheel of mmpose 0.29, one of each kind, or --all. Heads are compared on seeded
weights, relative to the largest value; people are grouped by both from the same drawn maps of all outputs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))
sys.path.insert(0, str(ROOT / "src"))

import seeded  # noqa: E402

import originals  # noqa: E402
from check_openmmlab import TOLERANCE, seeded_state  # noqa: E402
from densecast.imaging.prepare import prepare  # noqa: E402
from densecast.io import config_files  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from densecast.spec.preprocess import PoseAffine  # noqa: E402
from densecast.spec.recipe import Recipe  # noqa: E402
from densecast.tasks.pose import PoseDecode, Poses, postprocess  # noqa: E402
from densecast.tasks.pose.skeleton import COCO, Skeleton  # noqa: E402
from densecast.verbs.export.openmmlab import recipe as recipes  # noqa: E402
from make_pose_input_goldens import normalize, to_tensor  # noqa: E402

BODY = "body/2d_kpt_sview_rgb_img/associative_embedding/"
WHOLE = "wholebody/2d_kpt_sview_rgb_img/associative_embedding/coco-wholebody/"
CONFIGS = (
    f"{BODY}coco/hrnet_w32_coco_512x512.py",
    f"{BODY}coco/hrnet_w48_coco_640x640_udp.py",
    f"{BODY}coco/higherhrnet_w32_coco_512x512.py",
    f"{BODY}coco/higherhrnet_w32_coco_512x512_udp.py",
    f"{BODY}coco/res50_coco_640x640.py",
    f"{BODY}coco/mobilenetv2_coco_512x512.py",
    f"{BODY}coco/hourglass_ae_coco_512x512.py",
    f"{BODY}crowdpose/higherhrnet_w32_crowdpose_640x640_udp.py",
    f"{BODY}crowdpose/res101_crowdpose_512x512.py",
    f"{BODY}aic/higherhrnet_w32_aic_512x512_udp.py",
    f"{BODY}aic/hrnet_w32_aic_512x512.py",
    f"{BODY}mhp/hrnet_w48_mhp_512x512.py",
    f"{WHOLE}higherhrnet_w32_coco_wholebody_512x512.py",
    f"{WHOLE}hrnet_w32_coco_wholebody_512x512.py",
)
IMAGES_HW = ((97, 131), (240, 180), (333, 500))
HEADS_HW = ((128, 192), (256, 320))


def heads(config: str, recipe: Recipe, original: Any) -> float:
    """The largest difference of any output at any size, relative to the output's largest value."""
    state = seeded_state(original)
    original.load_state_dict(state, strict=True)
    ours = openmmlab.build(openmmlab.Options.of(recipe.network)).eval()
    ours.load_state_dict(openmmlab.clean(state), strict=True)
    chosen = recipe.network[openmmlab.SELECTED]
    worst = 0.0
    for size_hw in HEADS_HW:
        image = torch.from_numpy(seeded.image(size_hw))
        with torch.no_grad():
            expected = [original.forward_dummy(image)[index] for index in chosen]
            result = ours(image)
        got = list(result.values()) if isinstance(result, dict) else [result]
        for mine, theirs in zip(got, expected, strict=True):
            assert mine.shape == theirs.shape, (mine.shape, theirs.shape)
            worst = max(worst, float((mine - theirs).abs().max() / theirs.abs().max()))
    return worst


def drawn_maps(
    skeleton: Skeleton, channels: list[int], sizes_hw: list[tuple[int, int]], seed: int, people: int = 5
) -> list[np.ndarray]:
    """(2, C, h, w) of each output: people as bumps with tags, seen in the image and in its mirror image."""
    joints, random = len(skeleton.joints), np.random.RandomState(seed)
    centre = random.uniform(0.2, 0.8, (people, 1, 2))
    places = centre + random.uniform(-0.18, 0.18, (people, joints, 2))
    peaks = random.uniform(0.3, 0.95, (people, joints)) * (random.uniform(size=(people, joints)) > 0.2)
    tags = 2.0 * np.arange(people)[:, None] + random.uniform(-0.1, 0.1, (people, joints))
    found = []
    for count, (height, width) in zip(channels, sizes_hw, strict=True):
        y, x = np.arange(height)[:, None], np.arange(width)[None]
        both = []
        for mirrored in (False, True):
            heat = random.uniform(0, 0.02, (joints, height, width))
            tag = random.uniform(-0.2, 0.2, (joints, height, width))
            for person in range(people):
                for joint in range(joints):
                    at_x, at_y = places[person, joint] * [width - 1, height - 1]
                    bump = (
                        np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * (height / 40) ** 2)) * peaks[person, joint]
                    )
                    near = (bump > 0.02) & (bump > heat[joint])
                    heat[joint] = np.maximum(heat[joint], bump)
                    tag[joint][near] = tags[person, joint] + 0.05 * mirrored
            maps = np.concatenate([heat, tag[: count - joints]]).astype(np.float32)
            if mirrored:
                swap = [*skeleton.mirrored, *(joints + place for place in skeleton.mirrored)][:count]
                maps = maps[swap][:, :, ::-1]
            both.append(maps)
        found.append(np.ascontiguousarray(np.stack(both)))
    return found


class Given(torch.nn.Module):
    """Stands for backbone and head: gives the outputs of the image first, those of its mirror image then."""

    def __init__(self, outputs: list[np.ndarray], places: list[int], count: int) -> None:
        super().__init__()
        self._outputs, self._places, self._count, self._turn = outputs, places, count, 0

    def forward(self, _: Any) -> list[torch.Tensor]:
        """Whatever is asked -> the outputs of the next image."""
        found = [torch.zeros(1, 1, 1, 1)] * self._count
        for place, output in zip(self._places, self._outputs, strict=True):
            found[place] = torch.from_numpy(output[self._turn : self._turn + 1].copy())
        self._turn += 1
        return found


def people_of_original(model: Any, meta: dict[str, Any], outputs: list[np.ndarray], places: list[int]) -> Poses:
    """The original's people."""
    model.backbone = torch.nn.Identity()
    model.keypoint_head = Given(outputs, places, max(places) + 1)
    with torch.no_grad():
        result = model.forward_test(torch.zeros(1, 3, 8, 8), [{**meta, "image_file": ""}])
    joints = outputs[0].shape[1] if not result["preds"] else len(result["preds"][0])
    points = np.array([each[:, :3] for each in result["preds"]], np.float32).reshape(-1, joints, 3)
    return Poses(points[..., :2], points[..., 2], np.array(result["scores"], np.float32))


def original_input(settings: Any, image: np.ndarray, skeleton: Skeleton) -> dict[str, Any]:
    """What the original's test pipeline makes of an image that is already loaded."""
    from mmpose.datasets.pipelines import Compose

    info = {"image_size": np.array(settings.data_cfg.image_size), "flip_index": list(skeleton.mirrored)}
    results = {"img": image, "ann_info": info}
    for step in settings.test_pipeline[1:3]:
        results = Compose([dict(step)])(results)
    return results["ann_info"]


def check(config: str) -> bool:
    """Compare one configuration; print a line."""
    from mmcv import Config

    path = originals.config_path("mmpose", config)
    recipe = recipes.read(config_files.read(path))
    settings, original = Config.fromfile(str(path)), originals.build("mmpose", config)
    decode, resize = recipe.decode, recipe.preprocess.resize
    assert isinstance(decode, PoseDecode) and isinstance(resize, PoseAffine)
    skeleton, places = decode.skeleton or COCO, list(recipe.network[openmmlab.SELECTED])
    joints = len(skeleton.joints)
    relative = heads(config, recipe, original)
    inputs, equal, people, furthest = True, True, 0, 0.0
    for index, image_hw in enumerate(IMAGES_HW):
        image = np.random.RandomState(index).randint(0, 256, (*image_hw, 3), np.uint8)
        meta = original_input(settings, image, skeleton)
        got, _ = prepare(image, recipe.preprocess)
        inputs &= np.array_equal(got, meta["aug_data"][0][0].numpy())
        geometry = resize.geometry(image_hw)

        sizes = [(side[0], side[1]) for side in _sizes(geometry.model_hw, len(places))]
        channels = [2 * joints if place == decode.tags_output else joints for place in range(len(places))]
        outputs = drawn_maps(skeleton, channels, sizes, seed=index)
        theirs = people_of_original(original, meta, outputs, places)
        mine = postprocess.decode([outputs], geometry, decode)
        people += len(theirs)
        equal &= len(mine) == len(theirs)
        if len(mine) == len(theirs):
            furthest = max(furthest, float(np.abs(mine.xy_px - theirs.xy_px).max(initial=0)))
            equal &= np.allclose(mine.score, theirs.score, rtol=1e-6, atol=1e-6)
    good = relative <= TOLERANCE and inputs and equal and furthest <= 1e-3
    print(
        f"{config.removeprefix(BODY).removeprefix(WHOLE):52} {joints:4} joints  heads {relative:9.2e}  inputs "
        f"{'equal' if inputs else 'DIFFER'}  {people:3} people {'equal' if equal else 'DIFFER'}, joints within "
        f"{furthest:.1e} px {'ok' if good else 'FAILED'}",
        flush=True,
    )
    return good


def _sizes(model_hw: tuple[int, int], count: int) -> list[tuple[int, int]]:
    return [(model_hw[0] * 2**index // 4, model_hw[1] * 2**index // 4) for index in range(count)]


def main() -> int:
    """Compare the configurations whose names hold one of the words; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--all", action="store_true", help="every associative embedding configuration of the wheel")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    np.int = int  # noqa: NPY001  what the original was written for
    originals.import_package("mmpose")
    functional = sys.modules["torchvision.transforms.functional"]
    functional.to_tensor, functional.normalize = to_tensor, normalize
    chosen = list(CONFIGS)
    if arguments.all:
        root = originals.config_path("mmpose", ".")
        chosen = [str(path.relative_to(root)) for path in sorted(root.rglob("associative_embedding/*/*.py"))]
    chosen = [each for each in chosen if not arguments.words or any(word in each for word in arguments.words)]
    results = [check(config) for config in chosen]
    print(f"{sum(results)} of {len(results)} configurations agree")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
