"""The Open Inference Protocol over gRPC: the same models, queues, limits and answers as over HTTP."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from typing import Any

import densecast
from densecast.errors import DensecastError, MissingExtraError
from densecast.spec.serve_options import MIB
from densecast.spec.tensor import Feeds
from densecast.verbs.serve import front, infer, refusals, remote_messages, tensors
from densecast.verbs.serve.infer_request import InferRequest, WantedOutput
from densecast.verbs.serve.models import Served
from densecast.verbs.serve.refusals import Refused, bad
from densecast.verbs.serve.web import EXTENSIONS, State

_log = logging.getLogger(__name__)

# Those that wait for an answer each hold a thread; more calls at a time are refused.
_THREADS = 32
_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE",
}  # fmt: skip
# JSON-like contents by datatype; others come as raw bytes only, as the protocol has it.
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


class Remote:
    """A gRPC server beside the HTTP one."""

    def __init__(self, state: State) -> None:
        """Listen, and answer from now on.

        Raises:
            MissingExtraError: grpcio is not installed.
            DensecastError: the port is taken.
        """
        try:
            import grpc
        except ImportError:
            raise MissingExtraError.of("grpc", "the protocol over gRPC") from None
        self._state, options = state, state.options
        token = front.read_token(options)
        self._token = None if token is None else f"Bearer {token}".encode("ascii")
        limit = options.max_body_mib * MIB
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, "densecast serve grpc"),
            maximum_concurrent_rpcs=_THREADS,
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                # Else a port that another server has is shared with it in silence.
                ("grpc.so_reuseport", int(options.workers > 1)),
            ],
        )
        self._server.add_generic_rpc_handlers((self._handlers(grpc),))
        host = f"[{options.host}]" if ":" in options.host.strip("[]") else options.host
        try:
            self._server.add_insecure_port(f"{host}:{options.grpc_port}")
        except RuntimeError:
            raise DensecastError(
                f"port {options.grpc_port} of {options.host} is taken. Pass another one.", field="grpc_port"
            ) from None
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Take no more calls, and wait for those in work."""
        self._server.stop(grace_s).wait()

    def _handlers(self, grpc: Any) -> Any:
        calls: dict[str, Callable[[Any, Any], Any]] = {
            "ServerLive": lambda request, made: made(live=True),
            "ServerReady": lambda request, made: made(ready=not self._state.is_ending),
            "ModelReady": lambda request, made: made(ready=bool(self._model(request.name, request.version))),
            "ServerMetadata": lambda request, made: made(
                name="densecast", version=densecast.__version__, extensions=EXTENSIONS
            ),
            "ModelMetadata": self._metadata,
            "ModelInfer": self._infer,
        }
        known = remote_messages.messages()
        return grpc.method_handlers_generic_handler(
            remote_messages.SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    self._guarded(grpc, name, call, known[f"{name}Response"]),
                    request_deserializer=known[f"{name}Request"].FromString,
                    response_serializer=known[f"{name}Response"].SerializeToString,
                )
                for name, call in calls.items()
            },
        )

    def _guarded(self, grpc: Any, name: str, call: Callable[[Any, Any], Any], made: Any) -> Callable[[Any, Any], Any]:
        def answered(request: Any, context: Any) -> Any:
            start, status = time.perf_counter(), 200
            try:
                if name not in ("ServerLive", "ServerReady"):
                    self._check_token(context)
                return self._infer(request, made, context) if name == "ModelInfer" else call(request, made)
            except Exception as error:
                refused = refusals.of(error)
                if refused is None or refused.status == 500:
                    _log.error("a call of %s failed: %s", name, type(error).__name__, exc_info=error)
                    refused = Refused(500, "an error of the server's own; its log has it.")
                status = refused.status
                context.abort(grpc.StatusCode[_STATUS.get(status, "INTERNAL")], refused.message)
            finally:
                self._state.metrics.request("grpc", "", status, time.perf_counter() - start)

        return answered

    def _check_token(self, context: Any) -> None:
        if self._token is None:
            return
        sent = dict(context.invocation_metadata()).get("authorization", "")
        if not hmac.compare_digest(sent.encode("latin-1", "replace"), self._token):
            raise Refused(401, "this server asks for a token: authorization: Bearer …")

    def _model(self, name: str, version: str) -> Served:
        return self._state.models.find(name, version or None)

    def _metadata(self, request: Any, made: Any) -> Any:
        model = self._model(request.name, request.version)
        told = model.metadata(self._state.models.versions(model.name))
        return made(**{name: told[name] for name in ("name", "versions", "platform", "inputs", "outputs")})

    def _infer(self, request: Any, made: Any, context: Any = None) -> Any:
        self._state.check_open()
        model, options = self._model(request.model_name, request.model_version), self._state.options
        model.scheduler.check_room()

        def answer(arrays: Feeds, stages_ms: Mapping[str, float]) -> Any:
            response = made(model_name=model.name, model_version=model.version, id=request.id)
            for name, array in arrays.items():
                datatype = tensors.BYTES if array.dtype == object else tensors.datatype_of(str(array.dtype))
                response.outputs.add(name=name, datatype=datatype, shape=array.shape)
                response.raw_output_contents.append(tensors.to_binary(array))
            return response

        left_s = context.time_remaining() if context else None
        deadline_s = min(options.deadline, left_s) if left_s is not None else options.deadline
        read = _read(request)
        job = infer.job_for(model, read, answer, max_pixels=options.max_megapixels * 1e6, deadline_s=deadline_s)
        future = model.scheduler.submit(job)
        if context is not None and not context.add_callback(lambda: model.scheduler.cancel(job)):
            model.scheduler.cancel(job)
        try:
            return future.result(max(0.0, job.deadline - time.monotonic()))
        except NotInTime:
            model.scheduler.cancel(job)
            raise refusals.busy("the request's time was over before its answer.") from None
        except CancelledError:
            raise refusals.busy("the client has gone.") from None


def _read(request: Any) -> InferRequest:
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise bad(f"raw_input_contents: {len(raw)} for {len(request.inputs)} inputs.", "raw_input_contents")
    if not request.inputs:
        raise bad("inputs must hold at least one tensor.", "inputs")
    inputs: Feeds = {}
    for place, each in enumerate(request.inputs):
        name = each.name
        if each.datatype != tensors.BYTES and each.datatype not in tensors.DTYPES:
            raise bad(f"inputs[{name[:100]}].datatype is unknown.", f"inputs[{name[:100]}].datatype")
        if name in inputs or each.parameters:
            raise bad(f"inputs[{name[:100]}] occurs twice, or has parameters.", f"inputs[{name[:100]}]")
        shape = tensors.shape_of(list(each.shape), name[:100])
        if raw:
            inputs[name] = tensors.from_binary(memoryview(raw[place]), each.datatype, shape, name[:100])
            continue
        field = _CONTENTS.get(each.datatype)
        if field is None:
            raise bad(f"inputs[{name[:100]}]: {each.datatype} comes as raw_input_contents.", f"inputs[{name[:100]}]")
        values = list(getattr(each.contents, field))
        inputs[name] = tensors.from_values(values, each.datatype, shape, name[:100])
    for name in request.parameters:
        if name not in ("timeout",):
            raise bad(f"parameters: {name[:100]!r} has no effect here. Known: timeout.", "parameters")
    timeout_us = request.parameters["timeout"].int64_param if "timeout" in request.parameters else 0
    if any(set(each.parameters) - {"binary_data"} for each in request.outputs):
        raise bad("parameters of outputs have no effect here.", "outputs")
    outputs = tuple(WantedOutput(each.name) for each in request.outputs) or None
    return InferRequest(request.id or None, inputs, outputs, timeout_us / 1e6 if timeout_us > 0 else None)
