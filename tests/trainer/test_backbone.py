"""Where weights come from, and what is refused as weights."""

import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from models.errors import ConfigError
from models.files import sha256_of
from models.manifest import Preprocess
from tests.edge.box import free_port
from tests.trainer.hub import Hub
from tests.trainer.plates import plate
from trainer.backbone import MEAN_RGB, STD_RGB, feature_layers, find_weights, load_weights, tensor_of
from trainer.size import spec_for

pytestmark = pytest.mark.usefixtures("torch")
REPOSITORY = "timm/resnet18.a1_in1k"


@pytest.fixture(scope="module")
def state(torch):
    """Tensors of a whole ResNet18, as a hub serves them."""
    import timm

    torch.manual_seed(0)
    return timm.create_model("resnet18", pretrained=False).state_dict()


@pytest.fixture
def extractor():
    import timm

    return timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(2, 3))


@pytest.fixture
def point_to(monkeypatch, tmp_path):
    """Points huggingface_hub to an address, with an empty cache."""
    from huggingface_hub import constants

    def point(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    return point


@pytest.fixture
def hub(point_to, state):
    from safetensors.torch import save

    with Hub(REPOSITORY, save(state)).running() as hub:
        point_to(hub.address)
        yield hub


@pytest.fixture
def starter(tmp_path, monkeypatch):
    folder = tmp_path / "starter"
    folder.mkdir()
    (folder / "resnet18.pth").write_bytes(b"weights of the package")
    monkeypatch.setattr("trainer.backbone.STARTER", folder)
    return folder / "resnet18.pth"


def test_a_file_that_was_given_comes_before_all_else(tmp_path, hub, starter):
    find_weights("resnet18", None, allow_hub=True)
    given = tmp_path / "mine.pth"
    given.write_bytes(b"mine")
    weights, file = find_weights("resnet18", given, allow_hub=True)
    assert (weights.source, weights.name, weights.sha256) == ("path", "mine.pth", sha256_of(given))
    assert file == given


def test_the_hub_is_asked_once_and_the_cache_from_then_on(hub, starter):
    weights, file = find_weights("resnet18", None, allow_hub=True)
    assert (weights.source, weights.name) == ("hub", REPOSITORY)
    assert file.read_bytes() == hub.content
    assert weights.sha256 == sha256_of(file)
    asked = len(hub.asked)
    assert asked > 0
    for allow_hub in (False, True):
        weights, again = find_weights("resnet18", None, allow_hub)
        assert weights.source == "cache"
        assert again == file
    assert len(hub.asked) == asked


def test_what_the_hub_gives_loads_into_the_network(hub, extractor, state, torch):
    load_weights(extractor, find_weights("resnet18", None, allow_hub=True)[1])
    assert all(torch.equal(value, state[name]) for name, value in extractor.state_dict().items())


def test_without_being_allowed_to_the_hub_is_never_asked(hub, starter):
    assert find_weights("resnet18", None, allow_hub=False)[0].source == "starter"
    assert hub.asked == []


def test_starter_weights_come_after_the_cache_and_are_recorded(starter, point_to):
    point_to("http://127.0.0.1:9")
    weights, file = find_weights("resnet18", None, allow_hub=False)
    assert (weights.source, weights.name, weights.sha256) == ("starter", "resnet18.pth", sha256_of(starter))
    assert file == starter


def test_starter_weights_of_another_backbone_are_not_taken(starter):
    assert find_weights("resnet34", None, allow_hub=False)[0].source == "untrained"


def test_without_any_weights_the_network_stays_untrained_and_says_so():
    weights, file = find_weights("resnet18", None, allow_hub=False)
    assert (weights.source, weights.sha256, file) == ("untrained", None, None)


def test_a_hub_that_cannot_be_reached_is_a_clear_error_and_not_another_source(point_to, starter, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda _: None))
    point_to(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConfigError, match=r"hub timm/resnet18\.a1_in1k: .+; give --weights FILE or drop --allow-hub"):
        find_weights("resnet18", None, allow_hub=True)


def test_a_hub_without_this_repository_is_a_clear_error(hub):
    hub.path = "/elsewhere"
    with pytest.raises(ConfigError, match=r"hub timm/resnet18\.a1_in1k: .*404.*; give --weights FILE"):
        find_weights("resnet18", None, allow_hub=True)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.pth: no such file; give --weights the path of"):
        find_weights("resnet18", tmp_path / "none.pth", allow_hub=False)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(99), bytes(64), b"\x80\x02t."]
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path, extractor, recwarn, suffix, content):
    file = tmp_path / f"odd{suffix}"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"odd{suffix}: (no plain weights|lacks conv1\.weight)"):
        load_weights(extractor, file)
    assert not recwarn.list


class Touch:
    """Code that a pickle runs when it is opened carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_never_run(tmp_path, extractor, torch, zipped):
    ran, file = tmp_path / "ran", tmp_path / "evil.pth"
    if zipped:
        torch.save({"conv1.weight": Touch(ran)}, file)
    else:
        file.write_bytes(pickle.dumps({"conv1.weight": Touch(ran)}))
    with pytest.raises(ConfigError, match=r"evil\.pth: no plain weights"):
        load_weights(extractor, file)
    assert not ran.exists()
    torch.load(file, weights_only=False) if zipped else pickle.loads(file.read_bytes())  # noqa: S301 - it would
    assert ran.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([1, 2], "lacks conv1.weight"),
        ({"conv1.weight": 3}, "lacks conv1.weight"),
        ({"state_dict": [1]}, "lacks conv1.weight"),
        ({1: 2}, "lacks conv1.weight"),
    ],
)
def test_a_file_with_other_things_than_tensors_is_refused(tmp_path, extractor, torch, content, complaint):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ConfigError, match=f"{complaint}; these weights are of another backbone"):
        load_weights(extractor, tmp_path / "odd.pth")


@pytest.mark.parametrize(
    ("other", "complaint"),
    [("mobilenetv3_small_100", "lacks conv1.weight"), ("resnet50", "lacks|has another shape of")],
)
def test_weights_of_another_architecture_are_refused(tmp_path, extractor, torch, other, complaint):
    import timm

    torch.save(timm.create_model(other, pretrained=False).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=rf"other\.pth: ({complaint}).*: set --backbone to theirs"):
        load_weights(extractor, tmp_path / "other.pth")


def test_weights_are_taken_from_a_checkpoint_and_from_half_precision(tmp_path, extractor, state, torch):
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": half}, tmp_path / "half.pth")
    load_weights(extractor, tmp_path / "half.pth")
    loaded = extractor.state_dict()
    assert torch.equal(loaded["layer3.1.conv2.weight"], half["layer3.1.conv2.weight"].float())
    assert loaded["conv1.weight"].dtype == torch.float32


def test_weights_whose_names_timm_flattens_are_found(tmp_path, torch):
    import timm

    whole = timm.create_model("convnext_atto", pretrained=False).state_dict()
    torch.save(whole, tmp_path / "convnext.pth")
    cut = timm.create_model("convnext_atto", pretrained=False, features_only=True, out_indices=(1, 2))
    load_weights(cut, tmp_path / "convnext.pth")
    assert torch.equal(cut.state_dict()["stages_1.blocks.0.conv_dw.weight"], whole["stages.1.blocks.0.conv_dw.weight"])


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ("resnet18", ("layer2", "layer3")),
        ("mobilenetv3_small_100", ("blocks.1", "blocks.3")),
        ("convnext_atto", ("stages.1", "stages.2")),
    ],
)
def test_the_layers_are_those_at_strides_8_and_16(backbone, layers):
    assert feature_layers(backbone) == layers


@pytest.mark.parametrize("look_up", [feature_layers, lambda name: find_weights(name, None, allow_hub=False)])
def test_an_unknown_backbone_is_refused_with_names_near_it(look_up):
    with pytest.raises(ConfigError, match=r"--backbone resnet1: timm has no such model; near it: .*resnet"):
        look_up("resnet1")
    with pytest.raises(ConfigError, match="--backbone qqq: timm has no such model; near it: resnet18"):
        look_up("qqq")
    with pytest.raises(ConfigError, match=r"--backbone resnet18\.nonsense: Invalid pretrained tag"):
        look_up("resnet18.nonsense")


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_backbone_without_maps_at_both_strides_is_refused(backbone):
    with pytest.raises(ConfigError, match=f"--backbone {backbone}: no CNN with layers at strides"):
        feature_layers(backbone)


@pytest.mark.parametrize(("height_px", "width_px"), [(128, 128), (96, 96), (301, 217), (40, 64)])
def test_torchs_preprocessing_is_that_of_the_graph(tmp_path, height_px, width_px):
    import openvino as ov
    from openvino import opset13 as op

    from models.preprocess import with_preprocess

    image = plate(1, height_px=height_px, width_px=width_px)
    image[:, :, 0] //= 2  # blue is not red
    spec = Preprocess(height_px=96, width_px=64, mean_rgb=MEAN_RGB, std_rgb=STD_RGB)
    identity = op.parameter([1, 3, 96, 64], np.float32)
    graph = with_preprocess(ov.Model([op.relu(identity)], [identity]), spec)
    graph.reshape([1, height_px, width_px, 3])
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    want = tensor_of(image, spec).clamp(min=0).numpy()
    assert np.abs(compiled(image[None])[0] - want).max() < 1e-4


@pytest.mark.parametrize(
    ("height_px", "width_px", "size_px", "sides"),
    [
        (1024, 1024, 384, (384, 384)),
        (480, 640, 320, (256, 320)),
        (640, 480, 320, (320, 256)),
        (10, 900, 320, (32, 320)),
    ],
)
def test_the_longer_side_is_as_wanted_and_both_are_multiples_of_32(height_px, width_px, size_px, sides):
    spec = spec_for(size_px, np.zeros((height_px, width_px, 3), np.uint8))
    assert (spec.height_px, spec.width_px) == sides
