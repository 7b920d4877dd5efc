"""Runs OpenVINO models: one compiled model for each listed batch size, and one request for each slot."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.backends import _openvino_model, _openvino_types
from densecast.backends._base import listed_batch_sizes
from densecast.errors import BadArtifactError, BadShapeError
from densecast.io import cache, files
from densecast.kernels.jit_warm_up import jit_warming_up
from densecast.runtime import engine_words, machine
from densecast.runtime.execution import ExecutionConfig
from densecast.spec import cpu as cpus
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec, check_feeds

_FILE = "model.xml"
_HINT = "INFERENCE_PRECISION_HINT"


class OpenVinoRunner:
    """Runner with one compiled model per listed batch size (compiled at first use), and one request per slot."""

    reuses_buffers = True

    def __init__(self, artifact: CompiledArtifact, config: ExecutionConfig) -> None:
        ov = _openvino_model.imported()
        self._batch_sizes = listed_batch_sizes(artifact.manifest.build)
        self._artifact, self._config, self._core = artifact, config, ov.Core()
        self._inputs, self._outputs = artifact.spec.inputs, artifact.spec.outputs
        self._compiled: dict[int | None, Any] = {}
        self._requests: dict[tuple[int | None, int], Any] = {}
        self._making = threading.Lock()
        self._settings = dict(artifact.manifest.settings)
        if _HINT in self._settings:
            self._settings[_HINT] = cpus.half_type_there(self._settings[_HINT], machine.able())
        # OpenVINO's binding makes its table of types when it is first needed, and meanwhile lets go of Python's
        # lock while it holds the table's: two threads that both come first wait for each other for ever.
        ov.Type.f32.to_dtype()
        first = self._batch_sizes[0] if self._batch_sizes else None
        self._precision = read_back(self._request(first, 0).get_compiled_model())

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._outputs

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """The batch sizes compiled separately; None for a range."""
        return self._batch_sizes

    @property
    def precision(self) -> PrecisionRan:
        """The precision, counted over the compiled graph's layers."""
        return self._precision

    @property
    def max_concurrency(self) -> int:
        """The number of streams that it was compiled for."""
        return self._config.num_streams

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference with the slot's own request; the results are views of its buffers."""
        check_feeds(self._inputs, feeds)
        arrays = [np.ascontiguousarray(feeds[spec.name]) for spec in self._inputs]
        batch = arrays[0].shape[0] if self._batch_sizes else None
        request = self._request(batch, slot)
        try:
            request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=True)
        except RuntimeError:
            # A model whose shape inference failed goes on failing on sound inputs: it is compiled anew.
            with self._making:
                self._compiled.pop(batch, None)
                for key in [key for key in self._requests if key[0] == batch]:
                    del self._requests[key]
            raise
        return {spec.name: request.get_output_tensor(place).data for place, spec in enumerate(self._outputs)}

    def close(self) -> None:
        """Release all compiled models."""
        self._requests.clear()
        self._compiled.clear()

    def _request(self, batch: int | None, slot: int) -> Any:
        with self._making:
            if (batch, slot) not in self._requests:
                if batch is not None and self._batch_sizes and batch not in self._batch_sizes:
                    raise BadShapeError(f"this artifact was built for batches of {self._batch_sizes}, got {batch}.")
                if batch not in self._compiled:
                    # The binding lets go of Python's lock meanwhile: time for numba to get ready.
                    with jit_warming_up():
                        self._compiled[batch] = self._compile(batch)
                self._requests[batch, slot] = self._compiled[batch].create_infer_request()
            return self._requests[batch, slot]

    def _compile(self, batch: int | None) -> Any:
        ov = _openvino_model.imported()
        config = {
            **self._settings,
            "INFERENCE_NUM_THREADS": self._config.num_threads,
            "PERFORMANCE_HINT": "LATENCY" if self._config.num_streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": self._config.num_streams,
        }
        key = files.sha256_text(repr((self._artifact.meaning, batch, config, ov.get_version(), *machine.cpu())))
        blob = cache.read_blob(key) if self._config.use_cache else None
        if blob is not None:
            # Another build of one version may refuse it; then it is compiled like one that was never cached.
            with contextlib.suppress(RuntimeError):
                return self._core.import_model(blob, "CPU", config)
        try:
            model = self._core.read_model(self._artifact.file(_FILE))
            model = _openvino_model.with_sizes(ov, model, self._inputs, batch)
            _openvino_model.check_sizes(model)
            compiled = self._core.compile_model(model, "CPU", config)
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # shapes that no tensor has, too
            told = engine_words.reason(error)
            if "bad_alloc" in str(error):
                raise MemoryError(told) from None
            raise BadArtifactError(
                f"OpenVINO cannot use the model in {self._artifact.folder} ({told}). Build it again."
            ) from None
        if self._config.use_cache:
            cache.write_blob(key, compiled.export_model().getvalue())
        return compiled


def read_back(compiled: Any) -> PrecisionRan:
    """The precision of a compiled graph, by its convolutions and matrix products."""
    return precision_of(_openvino_types.counted(compiled))


def precision_of(layers: dict[str, int]) -> PrecisionRan:
    """The precision of a compiled graph with so many convolutions and matrix products of each type."""
    return PrecisionRan.from_counts(layers, "OpenVINO runtime model")
