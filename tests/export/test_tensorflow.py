"""TensorFlow's own graphs, made here by TensorFlow, become artifacts that give TensorFlow's labels."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import densecast, failed

from densecast.artifact import Artifact, FloatArtifact
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions
from densecast.spec.preprocess import FitInto
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build

pytestmark = [
    pytest.mark.tensorflow,
    # Every import starts TensorFlow twice, in processes of its own.
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("tensorflow", "tf2onnx")),
        reason="needs the [tensorflow] extra",
    ),
]

LABELS = ("--labels", "a,b,c,d")

# Written by a process of its own, as everything that loads TensorFlow.
MAKE = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
rng = np.random.default_rng(0)
first = rng.normal(size=(3, 3, 3, 8)).astype(np.float32) / 100
last = rng.normal(size=(1, 1, 8, 4)).astype(np.float32)


def network(x):
    x = tf.nn.relu6(tf.nn.conv2d(x, first, 2, "SAME"))
    return tf.nn.bias_add(tf.nn.conv2d(x, last, 1, "SAME"), [0.1, 0.2, 0.3, 0.4], name="scores")


def write(name, build):
    graph = tf.Graph()
    with graph.as_default():
        build()
    with open(f"{folder}/{name}.pb", "wb") as stream:
        stream.write(graph.as_graph_def().SerializeToString())


def padded():
    picture = tf.compat.v1.placeholder(tf.uint8, [1, None, None, 3], name="picture")
    floats = tf.cast(picture, tf.float32)[..., ::-1] - [103.5, 116.25, 123.75]
    sizes = tf.shape(floats)
    floats = tf.pad(floats, [[0, 0], [0, 97 - sizes[1]], [0, 129 - sizes[2]], [0, 0]])
    scores = tf.compat.v1.image.resize_bilinear(network(floats), [97, 129], align_corners=True)
    tf.identity(tf.argmax(scores, 3)[:, : sizes[1], : sizes[2]], name="classes")


def calls_python():
    picture = tf.compat.v1.placeholder(tf.float32, [1, 32, 32, 3], name="picture")
    tf.identity(tf.numpy_function(lambda x: x, [network(picture)], tf.float32), name="classes")


def saves():
    # Writes a file when it runs: a control input of the output.
    picture = tf.compat.v1.placeholder(tf.float32, [1, 32, 32, 3], name="picture")
    scores = network(picture)
    written = tf.raw_ops.SaveV2(prefix=f"{folder}/WRITTEN_BY_GRAPH", tensor_names=["x"], shape_and_slices=[""],
                                tensors=[tf.constant([1.0])])
    with tf.control_dependencies([written]):
        tf.identity(scores, name="classes")


def saves_in_a_function():
    picture = tf.compat.v1.placeholder(tf.float32, [1, 32, 32, 3], name="picture")

    @tf.function
    def hidden(x):
        tf.raw_ops.SaveV2(prefix=f"{folder}/WRITTEN_BY_GRAPH", tensor_names=["x"], shape_and_slices=[""],
                          tensors=[tf.constant([1.0])])
        return x

    tf.identity(hidden(network(picture)), name="classes")


def restores():
    picture = tf.compat.v1.placeholder(tf.float32, [1, 32, 32, 3], name="picture")
    read = tf.raw_ops.RestoreV2(prefix="/etc/passwd", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])
    with tf.control_dependencies(read):
        tf.identity(network(picture), name="classes")


write("padded", padded)
write("saves", saves)
write("saves_in_a_function", saves_in_a_function)
write("restores", restores)
write("calls_python", calls_python)


class Model(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])
    def predict(self, x):
        return tf.nn.softmax(network(x))


model = Model()
tf.saved_model.save(model, f"{folder}/saved", signatures=model.predict)


class Encoded(Model):
    # As for TensorFlow Serving: the contents of files.
    @tf.function(input_signature=[tf.TensorSpec([1], tf.string)])
    def serve(self, files):
        return tf.nn.softmax(network(tf.cast(tf.io.decode_png(files[0], 3), tf.float32)[None]))


model = Encoded()
tf.saved_model.save(model, f"{folder}/both", signatures={"serving_default": model.serve, "predict": model.predict})
tf.saved_model.save(model, f"{folder}/encoded", signatures=model.serve)


class Normalising(tf.Module):
    # As Keras's: takes 0..255 in floats, brings them to -1..1 itself, and gives one probability.
    @tf.function(input_signature=[tf.TensorSpec([1, 40, 56, 3], tf.float32)])
    def predict(self, x):
        weights = tf.constant([[[[1.5], [-2.0], [1.0]]]])
        return tf.sigmoid(tf.nn.conv2d(x / 127.5 - 1, weights, 1, "SAME") + 0.25)


model = Normalising()
tf.saved_model.save(model, f"{folder}/normalising", signatures=model.predict)
"""


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    done = subprocess.run([sys.executable, "-c", MAKE, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_frozen_graph_is_taken_apart_and_gives_the_same_labels(graphs: Path, tmp_path: Path) -> None:
    densecast("export", graphs / "padded.pb", *LABELS, "--out", tmp_path / "out")
    artifact = Artifact.open(tmp_path / "out")
    spec = artifact.spec
    assert spec.preprocess.colour == "BGR" and spec.preprocess.mean == (103.5, 116.25, 123.75)
    # What is padded is zero after the mean was subtracted: the mean itself, red first.
    assert spec.preprocess.resize == FitInto((97, 129), (123.75, 116.25, 103.5))
    assert spec.decode == SegmentationDecode(align_corners=True)
    assert artifact.manifest.parity is not None and artifact.manifest.parity.relative_error < 1e-5
    assert artifact.manifest.measurements["labels_equal_to_tensorflow"] > 0.999
    assert {"graph.pb", "model.onnx"} <= set(artifact.manifest.files)


def test_a_saved_model_is_frozen_first(graphs: Path, tmp_path: Path) -> None:
    densecast("export", graphs / "saved", *LABELS, "--std", "1,1,1", "--out", tmp_path / "out")
    artifact = Artifact.open(tmp_path / "out")
    assert artifact.spec.preprocess.std == (1.0, 1.0, 1.0)
    assert "Softmax" in artifact.manifest.passes[1]
    assert artifact.manifest.measurements["labels_equal_to_tensorflow"] > 0.999


def test_of_several_signatures_one_that_takes_images_is_taken_and_said(graphs: Path, tmp_path: Path) -> None:
    densecast("export", graphs / "both", *LABELS, "--std", "1,1,1", "--out", tmp_path / "out")
    artifact = Artifact.open(tmp_path / "out")
    assert "the signature 'predict' of predict, serving_default" in artifact.manifest.passes
    assert artifact.manifest.measurements["labels_equal_to_tensorflow"] > 0.999
    line = failed(3, "export", graphs / "encoded", *LABELS, "--out", tmp_path / "other")
    assert "no signature of it takes an image" in line and "serving_default takes files (string, (1,))" in line


def test_one_probability_of_a_graph_that_normalises_floats_itself(graphs: Path, tmp_path: Path) -> None:
    named = ("--labels", "ground,car")
    densecast("export", graphs / "normalising", *named, "--resize", "stretch:40x56", "--out", tmp_path / "out")
    artifact = FloatArtifact.open(tmp_path / "out")
    rule, decode = artifact.spec.preprocess, artifact.spec.decode
    assert (rule.mean, rule.std, rule.divisor) == ((127.5,) * 3, (127.5,) * 3, 1.0)
    assert isinstance(decode, SegmentationDecode) and decode.form == "binary_probability"
    assert any("from values 0..255" in note for note in artifact.manifest.passes)
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    wanted = (image / 127.5 - 1) @ np.array([1.5, -2.0, 1.0]) + 0.25 > 0
    built = build(artifact, tmp_path / "built", BuildOptions(precision="force_float32", backend="onnxruntime"))
    with Pipeline.open(built) as pipeline:
        np.testing.assert_array_equal(pipeline(image).class_id, wanted)
    message = failed(2, "export", graphs / "normalising", *named, "--normalise", "imagenet", "--out", tmp_path / "no")
    assert "--normalise 0..255" in message


def test_graphs_that_cannot_be_used_say_why(graphs: Path, tmp_path: Path) -> None:
    def refused(path: Path, *more: str) -> str:
        message = failed(3, "export", path, *LABELS, "--out", tmp_path / "out", *more)
        assert not (tmp_path / "out").exists()
        return message

    assert "the nearest are picture" in refused(graphs / "padded.pb", "--input-name", "pictur")
    assert "PyFunc" in refused(graphs / "calls_python.pb")
    fewer = failed(3, "export", graphs / "padded.pb", "--labels", "a,b,c", "--out", tmp_path / "fewer")
    assert "gives 4 classes a pixel, and 3 labels are named" in fewer
    for name, operator in (("saves", "SaveV2"), ("saves_in_a_function", "SaveV2"), ("restores", "RestoreV2")):
        assert f"operators that no network needs: {operator}" in refused(graphs / f"{name}.pb")
    assert not list(graphs.glob("WRITTEN*"))
    broken = tmp_path / "broken.pb"
    whole = (graphs / "padded.pb").read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert "no TensorFlow GraphDef" in refused(broken)
    foreign = tmp_path / "foreign.pb"
    assert whole.count(b"Relu6") >= 2
    foreign.write_bytes(whole.replace(b"\x12\x05Relu6", b"\x12\x05Relu9"))
    assert "no operator Relu9" in refused(foreign)


@pytest.mark.parametrize(("number", "words"), [(signal.SIGKILL, "signal 9, SIGKILL"), (signal.SIGSEGV, "SIGSEGV")])
def test_the_death_of_tensorflows_process_is_one_line(
    graphs: Path, tmp_path: Path, number: signal.Signals, words: str
) -> None:
    command = [sys.executable, "-m", "densecast", "export", str(graphs / "padded.pb"), *LABELS]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (found := grandchildren(process.pid)):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(found[0], number)
    _, said = process.communicate(timeout=120)
    # Half a minute without a word is told, too, on a slow machine.
    (last,) = [line for line in said.splitlines() if "in a confined process:" not in line]
    assert process.returncode == 3 and last.startswith("densecast: ") and words in last
    assert not (tmp_path / "out").exists()


def grandchildren(pid: int) -> list[int]:
    """The confined process: forked from a server that the command has started.

    Importing TensorFlow starts other programs (`uname`), which a fork is told from by its command line.
    """

    def children(parent: int) -> list[int]:
        return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def command(process: int) -> bytes:
        with contextlib.suppress(OSError):  # it may have ended
            return Path(f"/proc/{process}/cmdline").read_bytes()
        return b""

    return [each for server in children(pid) for each in children(server) if command(each) == command(server) != b""]


def test_the_published_graph_agrees_with_its_entry(test_data: Path, tmp_path: Path) -> None:
    graph = test_data / "weights" / "deeplabv3_mnv2_pascal" / "frozen_inference_graph.pb"
    densecast("export", "deeplabv3_mnv2_voc", "--checkpoint", graph, "--out", tmp_path / "out")
    manifest = Artifact.open(tmp_path / "out").manifest
    assert manifest.parity is not None and manifest.parity.relative_error < 2e-5
    assert manifest.measurements["labels_equal_to_tensorflow"] > 0.999
    assert manifest.spec.input.shape[2:] == (513, 513)
    assert np.prod(manifest.spec.output.shape[1:]) == 21 * 65 * 65  # type: ignore[arg-type]
