"""The table of imports: who may know whom, and what may not be loaded before it is needed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {"models": {"models"}, "edge": {"edge", "models"}, "trainer": {"trainer", "models"}}
MAY_IMPORT["deploy"] = {"deploy", "models"}
OURS = {*MAY_IMPORT, "tests"}
TORCH_FAMILY = {
    "torch",
    "torchvision",
    "anomalib",
    "timm",
    "mmdet",
    "mmdeploy",
    "mmengine",
    "mmcv",
    "onnx",
    "segmentation_models_pytorch",
}  # in trainer/ only
# Inside functions only.
HEAVY = TORCH_FAMILY | {"openvino", "model_signing", "cryptography", "matplotlib", "sklearn", "scipy"}


@dataclass(frozen=True)
class Import:
    """One module that a file names: by a statement, or by `import_module("...")`."""

    name: str
    line: int
    at_import: bool  # whether importing the file imports it: not in a function, not for type checkers only

    @property
    def top(self) -> str:
        return self.name.split(".")[0]


def imports_of(source: str, package: str) -> list[Import]:
    """All imports of a file of `package`, wherever they stand."""
    return list(_walk(ast.parse(source).body, package, at_import=True))


def _walk(nodes: list[ast.AST], package: str, *, at_import: bool) -> Iterator[Import]:
    for node in nodes:
        yield from (Import(name, node.lineno, at_import) for name in _names(node, package))
        match node:
            case ast.If(test=test) if _is_type_checking(test):
                yield from _walk(node.body, package, at_import=False)
                yield from _walk(node.orelse, package, at_import=at_import)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                body = node.body if isinstance(node.body, list) else [node.body]
                yield from _walk(body, package, at_import=False)
                rest = [n for n in ast.iter_child_nodes(node) if n not in body]  # decorators and defaults run now
                yield from _walk(rest, package, at_import=at_import)
            case _:
                yield from _walk(list(ast.iter_child_nodes(node)), package, at_import=at_import)


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _names(node: ast.AST, package: str) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(level=0, module=str(module)):
            return [module]
        case ast.ImportFrom():
            return [package]  # from . import x
        case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]):
            return [name] if ast.unparse(func).split(".")[-1] in ("import_module", "__import__") else []
    return []


def complaints(source: str, package: str, where: str = "x.py") -> list[str]:
    """What the table does not allow in a file of `package`."""
    found = []
    for item in imports_of(source, package):
        if item.top in OURS and item.top not in MAY_IMPORT[package]:
            found.append(f"{where}:{item.line}: {package}/ may not import {item.name}")
        if item.top in TORCH_FAMILY and package != "trainer":
            found.append(f"{where}:{item.line}: {item.name} belongs into trainer/ only")
        if item.top in HEAVY and item.at_import:
            found.append(f"{where}:{item.line}: {item.name} must be imported inside a function: --help pays for it")
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_import_of_the_four_folders_is_allowed(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 1
    found = [
        line
        for path in files
        for line in complaints(path.read_text(encoding="utf-8"), package, str(path.relative_to(ROOT)))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("models", "import edge"),
        ("models", "import edge.bus as bus"),
        ("models", "from trainer.fit import fit"),
        ("models", "def f():\n    from deploy import cli"),
        ("models", "if TYPE_CHECKING:\n    from edge.settings import Settings"),
        ("models", "from tests import tiny"),
        ("edge", "import trainer"),
        ("edge", "import json, deploy.cli"),
        ("trainer", "from edge.daemon import run_daemon"),
        ("deploy", "try:\n    import edge\nexcept ImportError:\n    pass"),
        ("deploy", "class A:\n    from trainer import fit"),
        ("edge", "importlib.import_module('trainer.fit')"),
        ("edge", "def f():\n    import torch"),
        ("models", "if TYPE_CHECKING:\n    import torch"),
        ("deploy", "def f():\n    __import__('timm')"),
        ("edge", "async def f():\n    async with a:\n        import anomalib.models"),
        ("trainer", "import torch"),
        ("trainer", "from torch.nn import functional as F"),
        ("trainer", "try:\n    import timm\nexcept ImportError:\n    timm = None"),
        ("trainer", "if sys.platform:\n    import matplotlib.pyplot"),
        ("trainer", "class A:\n    import sklearn"),
        ("trainer", "def f(x=__import__('scipy')):\n    pass"),
        ("trainer", "@import_module('torch').no_grad()\ndef f():\n    pass"),
        ("models", "import openvino as ov"),
        ("models", "if not TYPE_CHECKING:\n    import openvino"),
        ("models", "if TYPE_CHECKING:\n    pass\nelse:\n    import openvino"),
        ("models", "with suppress(ImportError):\n    import openvino"),
    ],
)
def test_the_checker_finds(package, source):
    assert len(complaints(source, package)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("models", "import json\nimport numpy as np\nfrom models.errors import BundleError"),
        ("models", "from . import errors\nfrom .errors import BundleError"),
        ("models", "def f():\n    import openvino as ov"),
        ("models", "class A:\n    def f(self):\n        if self:\n            import openvino.preprocess"),
        ("models", "if TYPE_CHECKING:\n    import openvino as ov"),
        ("models", "if typing.TYPE_CHECKING:\n    import openvino as ov"),
        ("edge", "import edge.bus\nfrom models import bundle"),
        ("deploy", "from models.store import Store\nfrom deploy import cli"),
        ("trainer", "def f():\n    import torch\n    from timm import create_model"),
        ("trainer", "f = lambda: __import__('torch')"),
        ("trainer", "import torchless, edgeless, modelsmith"),
        ("edge", "'import torch'\n# import trainer"),
    ],
)
def test_the_checker_allows(package, source):
    assert complaints(source, package) == []


def test_a_complaint_names_the_file_the_line_and_the_rule():
    assert complaints("x = 1\nimport trainer.fit", "edge", "edge/a.py") == [
        "edge/a.py:2: edge/ may not import trainer.fit"
    ]


def test_loading_all_of_edge_models_and_deploy_and_every_command_loads_nothing_heavy():
    """The same law seen from outside: what others import for us counts too."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in ("models", "edge", "deploy")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__main__.py" and "callback_plugins" not in path.parts  # that is Ansible's to load
    ]
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    command = [sys.executable, "-c", code, *names, "trainer.cli"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert HEAVY & {name.split(".")[0] for name in done.stdout.split()} == set()


def test_the_top_level_holds_no_other_package_or_python_file():
    allowed = {*MAY_IMPORT, "tests"}
    here = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    assert [path.name for path in here if path.suffix == ".py"] == []
    assert {path.name for path in here if path.is_dir() and list(path.glob("*.py"))} == allowed
