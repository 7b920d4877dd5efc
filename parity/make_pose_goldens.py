"""Run the original grouping of MMPose 0.29.0 on the scenes of tests/support/pose_scenes.py, and keep its results.

    python parity/make_pose_goldens.py tests/golden

In the environment of make_env.sh; densecast is not needed there.
Writes `pose_scenes.npz`, for each scene xy_px, score, person_score and the first bytes of its maps' sha256, and
`munkres_cases.json`: cost matrices and the pairs of munkres 1.1.4.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch

import originals


def import_original() -> tuple:
    """The original's functions."""
    originals.import_package("mmpose")
    from mmpose.core.evaluation import aggregate_scale, aggregate_stage_flip, get_group_preds
    from mmpose.core.evaluation.bottom_up_eval import flip_feature_maps, split_ae_outputs
    from mmpose.core.post_processing.group import HeatmapParser

    return (
        split_ae_outputs,
        flip_feature_maps,
        aggregate_stage_flip,
        aggregate_scale,
        HeatmapParser,
        get_group_preds,
    )


def load_scenes(support: Path) -> types.ModuleType:
    """The recipe, from its file: the tests' folder need not be importable here."""
    spec = importlib.util.spec_from_file_location("pose_scenes", support / "pose_scenes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pose_scenes"] = module
    spec.loader.exec_module(module)
    return module


def aggregate(original: tuple, scene: object, maps: list[np.ndarray], mirrored: list[int]) -> tuple:
    """Heatmaps (1, 17, H, W) and tags (1, T, H, W, L), put together as AssociativeEmbedding.forward_test does."""
    split, flip_maps, aggregate_stage_flip, aggregate_scale, _, _ = original
    options = scene.options
    project, flip = options.get("project_to_image", True), options.get("flip", True)
    size = [scene.model_hw[1], scene.model_hw[0]]
    heat_list, tag_list = [], []
    for scale, array in sorted(zip(scene.scales, maps, strict=True), key=lambda pair: -pair[0]):
        plain, seen = torch.from_numpy(array[:1].copy()), torch.from_numpy(array[1:].copy())
        heat, tag = split([plain], 17, [True], [True], [0])
        heat_flipped = tag_flipped = None
        if flip:
            heat_flipped, tag_flipped = split([seen], 17, [True], [True], [0])
            heat_flipped = flip_maps(heat_flipped, flip_index=mirrored)
            tag_flipped = flip_maps(tag_flipped, flip_index=mirrored)
        common = dict(index=-1, project2image=project, size_projected=size, align_corners=False)
        heat_list += aggregate_stage_flip(
            heat, heat_flipped, aggregate_stage="average", aggregate_flip="average", **common
        )
        both = aggregate_stage_flip(tag, tag_flipped, aggregate_stage="concat", aggregate_flip="concat", **common)
        if scale == 1 or len(maps) == 1:
            tag_list += both
    heat = aggregate_scale(heat_list, align_corners=False, aggregate_scale="average")
    tag = aggregate_scale(tag_list, align_corners=False, aggregate_scale="unsqueeze_concat")
    if heat.shape[2:4] != tag.shape[2:4]:
        resized = [
            torch.nn.functional.interpolate(tag[..., i], size=heat.shape[2:4], mode="bilinear", align_corners=False)
            for i in range(tag.shape[-1])
        ]
        tag = torch.stack(resized, dim=-1)
    return heat, tag


def expected(original: tuple, scenes: types.ModuleType, scene: object) -> dict[str, np.ndarray]:
    """The original's people of one scene."""
    _, _, _, _, heatmap_parser, get_group_preds = original
    options = scene.options
    maps = scenes.draw(scene)
    heat, tag = aggregate(original, scene, maps, scenes._MIRRORED)
    kernel = options.get("nms_kernel", 5)
    parser = heatmap_parser(
        dict(
            num_joints=17,
            max_num_people=options.get("max_people", 30),
            detection_threshold=options.get("detection_threshold", 0.1),
            tag_threshold=options.get("tag_threshold", 1),
            use_detection_val=options.get("use_detection_value", True),
            ignore_too_much=options.get("ignore_too_many", False),
            tag_per_joint=options.get("tag_per_joint", True),
            nms_kernel=kernel,
            nms_padding=kernel // 2,
        )
    )
    grouped, scores = parser.parse(heat, tag, options.get("adjust", True), options.get("refine", True))
    height, width = scene.image_hw
    centre, extent = np.array([round(width / 2), round(height / 2)]), np.array([width, height]) / 200.0
    people = get_group_preds(grouped, centre, extent, [heat.shape[3], heat.shape[2]])
    people = np.array(people, np.float32).reshape(len(people), 17, 3 + tag.shape[-1])
    digest = hashlib.sha256(b"".join(array.tobytes() for array in maps)).hexdigest()[:16]
    return {
        "xy_px": people[..., :2],
        "score": people[..., 2],
        "person_score": np.array([float(score) for score in scores], np.float32),
        "maps": np.array(digest),
    }


def munkres_cases() -> list[dict[str, object]]:
    """Small assignment problems full of ties, some as grouping makes them, with the pairs of munkres 1.1.4."""
    import munkres

    assert munkres.__version__ == "1.1.4", munkres.__version__
    random = np.random.RandomState(0)
    cases = []
    for number in range(160):
        rows, cols = random.randint(1, 11, 2)
        distance = random.random_sample((rows, cols)) * [0.6, 3.0, 10.0][number % 3]
        cost = np.round(distance) * 100 - np.round(random.random_sample((rows, 1)), 3)
        if number % 4 == 1:
            cost = random.randint(0, 4, (rows, cols)).astype(float)
        if number % 4 == 2:
            cost = np.round(random.random_sample((rows, cols)), 2)
        elif rows > cols:
            cost = np.concatenate([cost, np.full((rows, rows - cols), 1e10)], axis=1)
        pairs = munkres.Munkres().compute(cost.tolist())
        cases.append({"cost": cost.tolist(), "pairs": [[int(row), int(col)] for row, col in pairs]})
    return cases


def main() -> None:
    """Write both files."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--support", type=Path, default=Path(__file__).parents[1] / "tests" / "support")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    original, scenes = import_original(), load_scenes(options.support)
    kept = {}
    for name, scene in scenes.SCENES.items():
        result = expected(original, scenes, scene)
        print(f"{name:28} {len(result['person_score']):4} people", flush=True)
        kept.update({f"{name}.{key}": value for key, value in result.items()})
    np.savez_compressed(options.out / "pose_scenes.npz", **kept)
    (options.out / "munkres_cases.json").write_text(json.dumps(munkres_cases(), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
