"""densecast: from a trained dense-prediction network to a fast, verified offline model.

Everything that a program needs is here: the verbs as functions, the options they take, and the types that plug-ins are
made of. Names are resolved when they are first used, so that `import densecast` loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from densecast.runtime.offline import switch_off_telemetry

if TYPE_CHECKING:
    from densecast.artifact import Artifact as Artifact
    from densecast.backends._base import Backend as Backend
    from densecast.backends._base import BuildJob as BuildJob
    from densecast.backends._base import Built as Built
    from densecast.backends._base import Capabilities as Capabilities
    from densecast.backends._base import Runner as Runner
    from densecast.backends._base import Traits as Traits
    from densecast.datasets._base import Dataset as Dataset
    from densecast.datasets._base import DatasetFormat as DatasetFormat
    from densecast.datasets._base import EvaluationProtocol as EvaluationProtocol
    from densecast.datasets._base import FolderFormat as FolderFormat
    from densecast.errors import DensecastError as DensecastError
    from densecast.imaging.read import read_image as read_image
    from densecast.metrics._base import Metric as Metric
    from densecast.networks._base import Network as Network
    from densecast.pipeline import Pipeline as Pipeline
    from densecast.pipeline import PipelineConfig as PipelineConfig
    from densecast.plugins import allow_plugins as allow_plugins
    from densecast.session import Session as Session
    from densecast.spec.augment import Augment as Augment
    from densecast.spec.augment import View as View
    from densecast.spec.data_options import Data as Data
    from densecast.spec.data_options import DataCheckOptions as DataCheckOptions
    from densecast.spec.data_options import DataOptions as DataOptions
    from densecast.spec.geometry import Placement as Placement
    from densecast.spec.georeference import Georeference as Georeference
    from densecast.spec.handover_options import BundleOptions as BundleOptions
    from densecast.spec.handover_options import ExportToOptions as ExportToOptions
    from densecast.spec.model import Evaluation as Evaluation
    from densecast.spec.model import ModelSpec as ModelSpec
    from densecast.spec.options import BuildOptions as BuildOptions
    from densecast.spec.options import InputShape as InputShape
    from densecast.spec.options import QuantizeOptions as QuantizeOptions
    from densecast.spec.options import Range as Range
    from densecast.spec.preprocess import FitCentre as FitCentre
    from densecast.spec.preprocess import FitInto as FitInto
    from densecast.spec.preprocess import KeepRatio as KeepRatio
    from densecast.spec.preprocess import Letterbox as Letterbox
    from densecast.spec.preprocess import Native as Native
    from densecast.spec.preprocess import NearMultiple as NearMultiple
    from densecast.spec.preprocess import PoseAffine as PoseAffine
    from densecast.spec.preprocess import Preprocess as Preprocess
    from densecast.spec.preprocess import ScaleBy as ScaleBy
    from densecast.spec.preprocess import ShortSide as ShortSide
    from densecast.spec.preprocess import Stretch as Stretch
    from densecast.spec.preprocess import ToMultiple as ToMultiple
    from densecast.spec.sample import CheckReport as CheckReport
    from densecast.spec.sample import Sample as Sample
    from densecast.spec.sample import SplitRecord as SplitRecord
    from densecast.spec.score import Score as Score
    from densecast.spec.serve_options import ServeOptions as ServeOptions
    from densecast.spec.store_options import StoreOptions as StoreOptions
    from densecast.spec.tensor import Dim as Dim
    from densecast.spec.tensor import TensorSpec as TensorSpec
    from densecast.spec.verb_options import BenchmarkOptions as BenchmarkOptions
    from densecast.spec.verb_options import EvaluateOptions as EvaluateOptions
    from densecast.spec.verb_options import ExportOptions as ExportOptions
    from densecast.spec.verb_options import InferOptions as InferOptions
    from densecast.spec.verb_options import MaxDrop as MaxDrop
    from densecast.spec.verb_options import TuneOptions as TuneOptions
    from densecast.tasks._base import Difference as Difference
    from densecast.tasks._base import Measure as Measure
    from densecast.tasks._base import Task as Task
    from densecast.tasks.monocular_depth import DepthMap as DepthMap
    from densecast.tasks.monocular_depth import MonocularDepthDecode as MonocularDepthDecode
    from densecast.tasks.multilabel import MultilabelDecode as MultilabelDecode
    from densecast.tasks.multilabel import MultilabelMap as MultilabelMap
    from densecast.tasks.multilabel import MultilabelTarget as MultilabelTarget
    from densecast.tasks.pose import AnnotatedPoses as AnnotatedPoses
    from densecast.tasks.pose import PoseDecode as PoseDecode
    from densecast.tasks.pose import Poses as Poses
    from densecast.tasks.segmentation import SegmentationDecode as SegmentationDecode
    from densecast.tasks.segmentation import SegmentationMap as SegmentationMap
    from densecast.verbs.benchmark import benchmark as benchmark
    from densecast.verbs.builder import build as build
    from densecast.verbs.bundle import bundle as bundle
    from densecast.verbs.compare import compare as compare
    from densecast.verbs.compare import compare_shard as compare_shard
    from densecast.verbs.data_check import check_data as check_data
    from densecast.verbs.demo import demo as demo
    from densecast.verbs.diagnose import diagnose as diagnose
    from densecast.verbs.evaluate import evaluate as evaluate
    from densecast.verbs.export import export as export
    from densecast.verbs.export import export_file as export_file
    from densecast.verbs.export import export_module as export_module
    from densecast.verbs.export import export_zoo as export_zoo
    from densecast.verbs.export_to import export_to as export_to
    from densecast.verbs.infer import infer as infer
    from densecast.verbs.info import info as info
    from densecast.verbs.predict import predict as predict
    from densecast.verbs.reproduce import RunOptions as RunOptions
    from densecast.verbs.reproduce import reproduce as reproduce
    from densecast.verbs.serve import serve as serve
    from densecast.verbs.stored.compare import compare_stores as compare_stores
    from densecast.verbs.stored.evaluate import evaluate_shard as evaluate_shard
    from densecast.verbs.stored.infer import infer_stored as infer_stored
    from densecast.verbs.stored.merge import merge as merge
    from densecast.verbs.stored.report import report_store as report_store
    from densecast.verbs.verify import verify as verify
    from densecast.zoo._base import CheckpointSource as CheckpointSource
    from densecast.zoo._base import PublishedScore as PublishedScore
    from densecast.zoo._base import ZooEntry as ZooEntry

_HOME = {
    "AnnotatedPoses": "densecast.tasks.pose",
    "Artifact": "densecast.artifact",
    "Augment": "densecast.spec.augment",
    "Backend": "densecast.backends._base",
    "BenchmarkOptions": "densecast.spec.verb_options",
    "BuildJob": "densecast.backends._base",
    "BuildOptions": "densecast.spec.options",
    "Built": "densecast.backends._base",
    "Capabilities": "densecast.backends._base",
    "BundleOptions": "densecast.spec.handover_options",
    "CheckReport": "densecast.spec.sample",
    "CheckpointSource": "densecast.zoo._base",
    "Data": "densecast.spec.data_options",
    "DataCheckOptions": "densecast.spec.data_options",
    "DataOptions": "densecast.spec.data_options",
    "Dataset": "densecast.datasets._base",
    "DatasetFormat": "densecast.datasets._base",
    "DensecastError": "densecast.errors",
    "DepthMap": "densecast.tasks.monocular_depth",
    "Difference": "densecast.tasks._base",
    "Dim": "densecast.spec.tensor",
    "EvaluateOptions": "densecast.spec.verb_options",
    "Evaluation": "densecast.spec.model",
    "EvaluationProtocol": "densecast.datasets._base",
    "ExportOptions": "densecast.spec.verb_options",
    "ExportToOptions": "densecast.spec.handover_options",
    "FitCentre": "densecast.spec.preprocess",
    "FitInto": "densecast.spec.preprocess",
    "Letterbox": "densecast.spec.preprocess",
    "FolderFormat": "densecast.datasets._base",
    "Georeference": "densecast.spec.georeference",
    "InferOptions": "densecast.spec.verb_options",
    "InputShape": "densecast.spec.options",
    "KeepRatio": "densecast.spec.preprocess",
    "ShortSide": "densecast.spec.preprocess",
    "MaxDrop": "densecast.spec.verb_options",
    "Measure": "densecast.tasks._base",
    "Metric": "densecast.metrics._base",
    "ModelSpec": "densecast.spec.model",
    "MonocularDepthDecode": "densecast.tasks.monocular_depth",
    "MultilabelDecode": "densecast.tasks.multilabel",
    "MultilabelMap": "densecast.tasks.multilabel",
    "MultilabelTarget": "densecast.tasks.multilabel",
    "Native": "densecast.spec.preprocess",
    "NearMultiple": "densecast.spec.preprocess",
    "Network": "densecast.networks._base",
    "Pipeline": "densecast.pipeline",
    "PipelineConfig": "densecast.pipeline",
    "Placement": "densecast.spec.geometry",
    "PoseAffine": "densecast.spec.preprocess",
    "PoseDecode": "densecast.tasks.pose",
    "Poses": "densecast.tasks.pose",
    "Preprocess": "densecast.spec.preprocess",
    "PublishedScore": "densecast.zoo._base",
    "QuantizeOptions": "densecast.spec.options",
    "Range": "densecast.spec.options",
    "RunOptions": "densecast.verbs.reproduce",
    "Runner": "densecast.backends._base",
    "Sample": "densecast.spec.sample",
    "ScaleBy": "densecast.spec.preprocess",
    "Score": "densecast.spec.score",
    "SegmentationDecode": "densecast.tasks.segmentation",
    "SegmentationMap": "densecast.tasks.segmentation",
    "ServeOptions": "densecast.spec.serve_options",
    "Session": "densecast.session",
    "SplitRecord": "densecast.spec.sample",
    "StoreOptions": "densecast.spec.store_options",
    "Stretch": "densecast.spec.preprocess",
    "Task": "densecast.tasks._base",
    "TensorSpec": "densecast.spec.tensor",
    "ToMultiple": "densecast.spec.preprocess",
    "Traits": "densecast.backends._base",
    "TuneOptions": "densecast.spec.verb_options",
    "View": "densecast.spec.augment",
    "ZooEntry": "densecast.zoo._base",
    "allow_plugins": "densecast.plugins",
    "benchmark": "densecast.verbs.benchmark",
    "build": "densecast.verbs.builder",
    "bundle": "densecast.verbs.bundle",
    "check_data": "densecast.verbs.data_check",
    "compare": "densecast.verbs.compare",
    "compare_shard": "densecast.verbs.compare",
    "compare_stores": "densecast.verbs.stored.compare",
    "demo": "densecast.verbs.demo",
    "diagnose": "densecast.verbs.diagnose",
    "evaluate": "densecast.verbs.evaluate",
    "evaluate_shard": "densecast.verbs.stored.evaluate",
    "export": "densecast.verbs.export",
    "export_file": "densecast.verbs.export",
    "export_module": "densecast.verbs.export",
    "export_to": "densecast.verbs.export_to",
    "export_zoo": "densecast.verbs.export",
    "infer": "densecast.verbs.infer",
    "infer_stored": "densecast.verbs.stored.infer",
    "info": "densecast.verbs.info",
    "merge": "densecast.verbs.stored.merge",
    "predict": "densecast.verbs.predict",
    "read_image": "densecast.imaging.read",
    "report_store": "densecast.verbs.stored.report",
    "reproduce": "densecast.verbs.reproduce",
    "serve": "densecast.verbs.serve",
    "verify": "densecast.verbs.verify",
}
"""Where each public name is defined: the one list, from which `__all__` comes."""

__all__ = [*sorted(_HOME)]
__version__ = "0.1.0"

switch_off_telemetry()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'densecast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
