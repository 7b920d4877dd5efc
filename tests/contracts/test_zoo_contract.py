"""What holds for every published model: its entry is consistent, and shipped weights are the network's."""

from __future__ import annotations

import re

import pytest

from densecast.datasets._base import DATASETS
from densecast.io import codec
from densecast.metrics._base import METRICS
from densecast.networks._base import NETWORKS
from densecast.scenes import SCENES
from densecast.spec.precision import PRECISIONS
from densecast.spec.tensor import Dim
from densecast.tasks._base import TASKS
from densecast.tasks.pose.coco_person import JOINTS
from densecast.zoo._base import ZOO, ZooEntry

MODELS = ZOO.names()
# Seconds to build, even without weights; networks of the same kind are built below.
_LARGE = ("ocrnet_hr18", "ocrnet_hr18s", "hrnet_w32_ae", "deeplabv3_r101_d16_mg124")
_SMALL_FIRST = [pytest.param(name, marks=pytest.mark.slow if name in _LARGE else ()) for name in MODELS]


@pytest.fixture(params=MODELS)
def entry(request: pytest.FixtureRequest) -> ZooEntry:
    entry = ZOO.load(request.param)
    assert isinstance(entry, ZooEntry)
    assert entry.spec.name == request.param
    return entry


def test_there_are_models() -> None:
    assert "unet_tiny" in MODELS


def test_everything_it_names_exists(entry: ZooEntry) -> None:
    assert (entry.network is None) != (entry.tensorflow is None)
    assert entry.network is None or entry.network in NETWORKS.names()
    assert entry.spec.task in TASKS.names()
    if entry.spec.evaluation:
        assert entry.spec.evaluation.dataset in DATASETS.names()
        assert entry.spec.evaluation.metric in METRICS.names()
    if entry.data:
        assert entry.data.writer in SCENES.names()


def test_entry_survives_json(entry: ZooEntry) -> None:
    assert codec.from_plain(codec.to_plain(entry), ZooEntry, "entry") == entry


def test_its_task_takes_its_spec_in_every_variant(entry: ZooEntry) -> None:
    task = TASKS.load(entry.spec.task)
    for variant in ("original", *entry.variants):
        spec = entry.spec_for(variant)
        task.check(spec)
        assert spec.output.shape[1] == task.output_channels(spec)


def test_classes_have_colours_of_their_own(entry: ZooEntry) -> None:
    if entry.spec.task != "segmentation":
        pytest.skip("only segmentations have classes")
    assert len(set(entry.spec.labels)) == len(set(entry.spec.palette)) == len(entry.spec.labels)
    assert all(0 <= channel <= 255 for colour in entry.spec.palette for channel in colour)
    assert entry.spec.output.shape[1] == len(entry.spec.labels)


def test_weights_are_shipped_or_fetched_safely(entry: ZooEntry) -> None:
    source = entry.checkpoint
    assert source.shipped != bool(source.urls)
    assert all(url.startswith("https://") for url in source.urls)
    assert re.fullmatch(r"[\w.+-]+", source.file)
    assert source.sha256 is None or re.fullmatch(r"[0-9a-f]{8,64}", source.sha256)
    assert source.md5 is None or re.fullmatch(r"[0-9a-f]{32}", source.md5)
    assert entry.licence and entry.summary


def test_published_scores_are_possible(entry: ZooEntry) -> None:
    for score in entry.published:
        assert score.precision in PRECISIONS
        assert 0 < score.value <= 100
        assert score.count > 0 and score.source and score.metric


def test_example_is_an_input_it_takes(entry: ZooEntry) -> None:
    sizes = (1, 3, *entry.example_size_hw)
    for size, wanted in zip(sizes, entry.spec.input.shape, strict=True):
        assert wanted.admits(size) if isinstance(wanted, Dim) else wanted == size


def test_people_are_looked_for_at_the_short_side_the_variants_keep(entry: ZooEntry) -> None:
    if entry.spec.task != "pose":
        pytest.skip("only pose has such variants")
    once = entry.spec_for("no_flip")
    assert entry.spec.needs_mirror and not once.needs_mirror
    assert once.preprocess == entry.spec.preprocess
    assert entry.spec.output.shape[1] == 2 * len(JOINTS)


@pytest.mark.torch
@pytest.mark.parametrize("entry", _SMALL_FIRST, indirect=True)
def test_network_takes_its_options(entry: ZooEntry) -> None:
    torch = pytest.importorskip("torch")
    if entry.network is None:
        pytest.skip("its weights bring their own graph")
    plugin = NETWORKS.load(entry.network)
    with torch.device("meta"):
        network = plugin.build(plugin.options_type(**entry.options)).eval()
    # Outside of the context, which would ask again at each operation where tensors are to be made.
    output = network(torch.zeros(1, 3, *entry.example_size_hw, device="meta"))
    assert all(side % plugin.input_multiple == 0 for side in entry.example_size_hw)
    assert output.ndim == 4
    if entry.spec.task == "pose":
        assert output.shape[1:] == (2 * len(JOINTS), *(side // 4 for side in entry.example_size_hw))
    if entry.spec.task == "segmentation":
        assert output.shape[1] == len(entry.spec.labels)


@pytest.mark.torch
def test_shipped_weights_fit_and_give_finite_outputs(entry: ZooEntry) -> None:
    if not entry.checkpoint.shipped:
        pytest.skip("its weights are fetched, not shipped")
    torch = pytest.importorskip("torch")
    from densecast.verbs.export import checkpoint, parity, weights

    assert entry.network is not None
    plugin = NETWORKS.load(entry.network)
    options = plugin.options_type(**entry.options)
    network = plugin.build(options).eval()
    state = checkpoint.read(weights.find(entry.checkpoint))
    checkpoint.load_into(network, state, plugin, options, entry.checkpoint.file)
    # Half the sides: a quarter of the work, which tells as much.
    step = plugin.input_multiple
    size_hw = [-(-side // (2 * step)) * step for side in entry.example_size_hw]
    with torch.inference_mode():
        logits = network(torch.from_numpy(parity.image_like((1, 3, *size_hw), 0)))
    assert torch.isfinite(logits).all()
    # Trained weights tell pixels apart; a file of zeros does not.
    assert logits.std() > 0
