"""What is handed over, read by the software that it is for; each in an environment of its own, for none shares ours.

`MODEL_API_PYTHON` is a Python with openvino-model-api, `TRITON_CLIENT_PYTHON` one with tritonclient[http,grpc], and
`PYTRITON_PYTHON` one of this version with nvidia-pytriton, which carries a server whose only backend is Python's.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_handovers import LABELS, SIZE_HW, coarse, exported, picture, planes_of, run, spec
from PIL import Image

from densecast import BuildOptions, ExportToOptions, Pipeline, QuantizeOptions, export_to
from densecast.artifact import Artifact
from densecast.spec.preprocess import Native
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build

pytestmark = pytest.mark.slow


def ask(variable: str, program: str, *arguments: str | Path) -> str:
    """What a program prints in another environment."""
    python = os.environ.get(variable)
    if python is None:
        pytest.skip(f"NO {variable}: what is handed over is NOT READ by its receiver")
    command = [python, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported(tmp_path_factory.mktemp("source"), coarse(), spec(SegmentationDecode()))


MODEL_API = """
import json, sys
import cv2, numpy as np
from model_api.adapters import OpenvinoAdapter, create_core
from model_api.models import Model

settings = {"INFERENCE_PRECISION_HINT": "f32"}
model = Model.create_model(OpenvinoAdapter(create_core(), sys.argv[1], device="CPU", plugin_config=settings))
answers = [model(cv2.imread(path)).tolist() for path in sys.argv[2:]]
print(json.dumps({"type": type(model).__name__, "labels": model.params.labels, "answers": answers}))
"""


def test_model_api_takes_images_of_any_size_where_the_model_does(tmp_path: Path) -> None:
    source = exported(tmp_path, coarse(), spec(SegmentationDecode(), resize=Native()))
    result = export_to("model-api", source, tmp_path / "out")
    Image.fromarray(picture((34, 18))).save(tmp_path / "photo.png")
    told = json.loads(ask("MODEL_API_PYTHON", MODEL_API, tmp_path / "out" / result.model_file, tmp_path / "photo.png"))
    planes = planes_of(coarse(), picture((34, 18)))
    best = np.sort(planes, axis=0)
    sure = best[-1] - best[-2] > 1e-3
    np.testing.assert_array_equal(np.array(told["answers"][0])[sure], planes.argmax(axis=0)[sure])


def test_model_api_gives_the_argmax_of_the_planes_and_nearest_neighbours_of_it(
    source: Artifact, tmp_path: Path
) -> None:
    result = export_to("model-api", source, tmp_path / "out")
    photos = {(24, 40): tmp_path / "same.png", (96, 120): tmp_path / "large.png"}
    for size_hw, path in photos.items():
        Image.fromarray(picture(size_hw)).save(path)
    told = json.loads(ask("MODEL_API_PYTHON", MODEL_API, tmp_path / "out" / result.model_file, *photos.values()))
    assert told["type"] == "SegmentationModel"
    assert told["labels"] == [label.replace(" ", "_") for label in LABELS]
    for (size_hw, _), answer in zip(photos.items(), told["answers"], strict=True):
        small = cv2.resize(picture(size_hw), SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR)
        planes = planes_of(coarse(), small)
        best = np.sort(planes, axis=0)
        sure = (best[-1] - best[-2] > (1e-3 if size_hw == SIZE_HW else 0.1)).astype(np.uint8)
        wanted = planes.argmax(axis=0).astype(np.uint8)
        large, certain = (cv2.resize(each, size_hw[::-1], interpolation=cv2.INTER_NEAREST) for each in (wanted, sure))
        assert certain.mean() > 0.85
        np.testing.assert_array_equal(np.array(answer)[certain == 1], large[certain == 1])


TRITON = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

print(json_format.MessageToJson(text_format.Parse(open(sys.argv[1]).read(), model_config_pb2.ModelConfig())))
"""


def test_tritons_own_schema_reads_the_configuration(source: Artifact, tmp_path: Path) -> None:
    export_to("triton", source, tmp_path / "out")
    told = json.loads(ask("TRITON_CLIENT_PYTHON", TRITON, tmp_path / "out" / "coarse" / "config.pbtxt"))
    assert told["backend"] == "onnxruntime" and told["maxBatchSize"] == 8
    assert told["input"] == [{"name": "image", "dataType": "TYPE_UINT8", "dims": ["24", "40", "3"]}]
    assert told["output"] == [{"name": "class_id", "dataType": "TYPE_UINT8", "dims": ["24", "40"]}]
    assert told["dynamicBatching"]["defaultQueuePolicy"]["maxQueueSize"] == 16


WHERE = "import pytriton; print(pytriton.__path__[0])"
# In place of the backend that the server lacks: the same graph, by ONNX Runtime.
STAND_IN = """
import os, sys
sys.path.append({path!r})
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        given = [triton.get_input_tensor_by_name(each, "image").as_numpy() for each in requests]
        answers = [self.session.run(["class_id"], {{"image": each}})[0] for each in given]
        return [triton.InferenceResponse([triton.Tensor("class_id", each)]) for each in answers]
"""
CLIENT = """
import sys, time
import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient(sys.argv[1])
for _ in range(300):
    try:
        if client.is_model_ready("coarse"):
            break
    except Exception:
        pass
    time.sleep(0.3)
pixels = np.load(sys.argv[2])
given = triton.InferInput("image", pixels.shape, "UINT8")
given.set_data_from_numpy(pixels)
wanted = triton.InferRequestedOutput("class_id", binary_data=True)
np.save(sys.argv[3], client.infer("coarse", [given], outputs=[wanted]).as_numpy("class_id"))
"""


def test_a_real_triton_serves_the_repository(source: Artifact, tmp_path: Path) -> None:
    import onnxruntime

    home = Path(ask("PYTRITON_PYTHON", WHERE).strip())
    export_to("triton", source, tmp_path / "out")
    backends = tmp_path / "backends" / "python"
    shutil.copytree(home / "tritonserver" / "backends" / "python", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for each in (home / "tritonserver" / "python_backend_stubs" / version).iterdir():
        shutil.copy(each, backends)
    path = Path(onnxruntime.__file__).parents[1]
    (tmp_path / "out" / "coarse" / "1" / "model.py").write_text(STAND_IN.format(path=str(path)))
    config = tmp_path / "out" / "coarse" / "config.pbtxt"
    text = config.read_text().replace('"onnxruntime"', '"python"').replace('"model.onnx"', '"model.py"')
    config.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [home / "tritonserver" / "bin" / "tritonserver", "--model-repository", tmp_path / "out"]
    command += ["--backend-directory", tmp_path / "backends", "--http-address", "127.0.0.1", "--http-port", str(port)]
    command += ["--allow-grpc", "false", "--allow-metrics", "false"]
    python = Path(os.environ["PYTRITON_PYTHON"])
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(home.parent / "nvidia_pytriton.libs"),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    np.save(tmp_path / "pixels.npy", np.stack([picture(), picture(seed=2)]))
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(list(map(str, command)), env=environment, stdout=log, stderr=log)
        try:
            ask("TRITON_CLIENT_PYTHON", CLIENT, f"127.0.0.1:{port}", tmp_path / "pixels.npy", tmp_path / "labels.npy")
        finally:
            server.terminate()
            server.wait(60)
    planes = planes_of(coarse(), picture(seed=2))
    best = np.sort(planes, axis=0)
    sure = best[-1] - best[-2] > 1e-3
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy")[1][sure], planes.argmax(axis=0)[sure])


def test_hugging_faces_libraries_read_the_card_and_the_configuration(source: Artifact, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    transformers = pytest.importorskip("transformers")
    export_to("hf", source, tmp_path / "out", ExportToOptions(licence="Apache-2.0"))
    card = hub.ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "apache-2.0" and card.data.library_name == "openvino"
    assert card.data.pipeline_tag == "image-segmentation"
    config = transformers.PretrainedConfig.from_pretrained(tmp_path / "out")
    assert [config.id2label[index] for index in range(len(LABELS))] == list(LABELS)


@pytest.mark.quantize
@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        ("onnxruntime", "qint8_mixed_float16"),
        ("openvino", "qint8_mixed_float16"),
        ("onnxruntime", "force_float16"),
        ("openvino", "force_float16"),
    ],
)
def test_builds_of_fewer_bits_are_handed_over_with_their_own_answers(
    backend: str, precision: str, source: Artifact, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    (tmp_path / "photos").mkdir()
    for seed in range(8):
        Image.fromarray(picture(seed=seed)).save(tmp_path / "photos" / f"{seed}.png")
    int8 = "int8" in precision
    options = BuildOptions(backend, precision, quantize=QuantizeOptions(images=8, calibration_method="minmax"))  # type: ignore[arg-type]
    built = build(source, tmp_path / "built", options, data=tmp_path / "photos" if int8 else None)
    result = export_to("hf", built, tmp_path / "out")
    hint = built.manifest.settings.get("INFERENCE_PRECISION_HINT", "f32")
    with Pipeline.open(built) as pipeline:
        for seed in range(3):
            wanted = pipeline.predict(pipeline.preprocess(picture(seed=seed)), "network").class_id
            answer = run(tmp_path / "out" / result.model_file, picture(seed=seed)[None], hint)["class_id"][0]
            assert np.mean(answer != wanted) < 0.02
