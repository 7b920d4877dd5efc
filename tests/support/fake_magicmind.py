"""MagicMind's Python runtime as its contract is recorded: every call is written down, and needs those before it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class Fake:
    """The state of all fakes: what was called, which step fails, and how many devices there are."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: str | None = None
        self.devices = 2
        self.samples: list[np.ndarray] = []
        self.config: dict[str, Any] = {}
        self.active: int | None = None

    def status(self, step: str) -> Status:
        self.calls.append(step)
        return Status(self.fails != step, step)

    def modules(self) -> dict[str, ModuleType]:
        """To be put into `sys.modules`."""
        names = ("magicmind", "magicmind.python", "magicmind.python.runtime", "magicmind.python.runtime.parser")
        made = {name: ModuleType(name) for name in names}
        made["magicmind"].__spec__ = object()  # type: ignore[assignment]
        runtime, parser = made[names[2]], made[names[3]]
        for name, value in _runtime(self).items():
            setattr(runtime, name, value)
        parser.Parser = _parser(self)  # type: ignore[attr-defined]
        return made


class Status:
    def __init__(self, good: bool, step: str = "") -> None:
        self._good, self._step = good, step

    def ok(self) -> bool:
        return self._good

    def __str__(self) -> str:
        return f"[INTERNAL] {self._step}"


def _parser(fake: Fake) -> type:
    class Parser:
        def __init__(self, kind: str) -> None:
            assert kind == "onnx"

        def parse(self, network: Any, file: str) -> Status:
            network.graph = Path(file).read_bytes()
            return fake.status("parse")

    return Parser


def _runtime(fake: Fake) -> dict[str, Any]:
    class Dims(list):
        pass

    class Input:
        def set_dimension(self, dims: Dims) -> Status:
            assert isinstance(dims, Dims) and all(isinstance(size, int) for size in dims)
            return fake.status("set_dimension")

    class Network:
        graph = b""

        def get_input(self, index: int) -> Input:
            assert index == 0 and self.graph
            return Input()

    class BuilderConfig:
        def parse_from_string(self, text: str) -> Status:
            fake.config = json.loads(text)
            return fake.status("parse_from_string")

    class CalibDataInterface:
        pass

    class Calibrator:
        def __init__(self, data: list[Any]) -> None:
            (self._data,) = data
            assert isinstance(self._data, CalibDataInterface)

        def set_quantization_algorithm(self, algorithm: str) -> Status:
            assert algorithm == "linear"
            return fake.status("set_quantization_algorithm")

        def calibrate(self, network: Network, config: BuilderConfig) -> Status:
            assert fake.active is not None, "the device is activated before calibration"
            self._data.reset()
            while self._data.next().ok():
                sample = self._data.get_sample()
                assert list(sample.shape) == list(self._data.get_shape()) and sample.dtype == np.float32
                assert self._data.get_data_type() == "FLOAT32" and sample.flags.c_contiguous
                fake.samples.append(sample)
            return fake.status("calibrate")

    class System:
        def __enter__(self) -> System:
            fake.calls.append("System")
            return self

        def __exit__(self, *_: object) -> None:
            fake.active = None
            fake.calls.append("~System")

        def device_count(self) -> int:
            return fake.devices

    class Queue:
        def sync(self) -> Status:
            return fake.status("sync")

    class Device:
        id = -1

        def active(self) -> Status:
            fake.active = self.id
            return fake.status("active")

        def create_queue(self) -> Queue:
            fake.calls.append("create_queue")
            return Queue()

    class Tensor:
        def __init__(self) -> None:
            self.array: np.ndarray | None = None

        def from_numpy(self, array: np.ndarray) -> None:
            self.array = array

        def to(self, device: Device) -> Status:
            assert isinstance(device, Device)
            return fake.status("to")

        def asnumpy(self) -> np.ndarray:
            assert self.array is not None
            return self.array

    class Model:
        class EngineConfig:
            device_type = ""

        graph = b""

        def serialize_to_file(self, path: str) -> Status:
            Path(path).write_bytes(self.graph)
            return fake.status("serialize_to_file")

        def deserialize_from_file(self, path: str) -> Status:
            self.graph = Path(path).read_bytes()
            return fake.status("deserialize_from_file")

        def create_i_engine(self, config: EngineConfig) -> Any:
            assert config.device_type == "MLU" and fake.active is not None
            fake.calls.append("create_i_engine")
            return Engine(self.graph)

    class Engine:
        def __init__(self, graph: bytes) -> None:
            self._graph = graph

        def create_i_context(self) -> Any:
            fake.calls.append("create_i_context")
            return Context(self._graph)

    class Context:
        def __init__(self, graph: bytes) -> None:
            import onnxruntime as ort

            self._session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])

        def create_inputs(self) -> list[Tensor]:
            fake.calls.append("create_inputs")
            return [Tensor()]

        def enqueue(self, inputs: list[Tensor], outputs: list[Tensor], queue: Queue) -> Status:
            assert outputs == [] and isinstance(queue, Queue)
            for array in self._session.run(None, {"image": inputs[0].asnumpy()}):
                tensor = Tensor()
                tensor.from_numpy(array)
                outputs.append(tensor)
            return fake.status("enqueue")

    class Builder:
        def build_model(self, name: str, network: Network, config: BuilderConfig) -> Model:
            assert name and fake.config
            fake.calls.append("build_model")
            model = Model()
            model.graph = network.graph
            return model

    def ok() -> Status:
        return Status(True)

    codes = itertools.count(1)
    return {
        "Network": Network,
        "Dims": Dims,
        "BuilderConfig": BuilderConfig,
        "CalibDataInterface": CalibDataInterface,
        "Calibrator": Calibrator,
        "System": System,
        "Device": Device,
        "Model": Model,
        "Builder": Builder,
        "ModelKind": type("ModelKind", (), {"kOnnx": "onnx"}),
        "DataType": type("DataType", (), {"FLOAT32": "FLOAT32", "UINT8": "UINT8"}),
        "QuantizationAlgorithm": type("QuantizationAlgorithm", (), {"LINEAR_ALGORITHM": "linear"}),
        "Code": type("Code", (), {"OUT_OF_RANGE": next(codes)}),
        "Status": type("Status", (), {"OK": staticmethod(ok), "__new__": lambda _, code, text: Status(False, text)}),
    }
