"""Where a detector's first weights come from, and what is refused as weights."""

import hashlib
import os
import pickle
from pathlib import Path

import pytest

import trainer
from models.errors import ConfigError
from models.files import sha256_of
from tests.edge.box import free_port
from tests.trainer.hub import Hub
from trainer.detection.config import MODELS
from trainer.detection.graph import new_network
from trainer.detection.weights import find_weights, published_url, write_start

MODEL = "rtmdet-tiny"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


@pytest.fixture
def hub(cache, monkeypatch):
    content = b"weights of mmdet"
    hub = Hub("unused", content)
    hub.path = f"/v3.0/rtmdet_tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    with hub.running():
        monkeypatch.setattr("trainer.detection.weights.published_url", lambda _: hub.address + hub.path)
        yield hub


@pytest.fixture
def starter(tmp_path, monkeypatch):
    folder = tmp_path / "starter"
    folder.mkdir()
    (folder / f"{MODEL}.pth").write_bytes(b"weights of the package")
    monkeypatch.setattr("trainer.detection.weights.STARTER", folder)
    return folder / f"{MODEL}.pth"


@pytest.mark.parametrize("model", MODELS)
def test_each_model_has_a_published_checkpoint_that_carries_its_hash(mmdet, model):
    address = published_url(model)
    name = address.rsplit("/", 1)[-1]
    assert address.startswith("https://")
    assert name.startswith(model.replace("-", "_"))
    assert len(name.removesuffix(".pth").rsplit("-", 1)[-1]) == 8


def test_the_hub_is_asked_once_and_the_cache_from_then_on(hub, cache, starter, capsys):
    weights, file = find_weights(MODEL, None, allow_hub=True)
    assert (weights.source, weights.name) == ("hub", hub.path.rsplit("/", 1)[-1])
    assert file.read_bytes() == hub.content
    assert weights.sha256 == sha256_of(file)
    assert len(hub.asked) == 1
    for allow_hub in (False, True):
        again, same = find_weights(MODEL, None, allow_hub=allow_hub)
        assert (again.source, same) == ("cache", file)
        assert again.sha256 == weights.sha256
    assert len(hub.asked) == 1
    assert capsys.readouterr() == ("", ""), "no bar where nobody looks"


def test_what_has_another_hash_than_published_is_refused_and_not_kept(hub, cache):
    hub.content = b"weights of somebody"
    with pytest.raises(
        ConfigError, match=r"hub http://.*: invalid hash value .*; give --weights FILE or drop --allow-hub"
    ):
        find_weights(MODEL, None, allow_hub=True)
    assert list(cache.iterdir()) == []


def test_without_being_allowed_to_the_hub_is_never_asked(hub, starter):
    weights, file = find_weights(MODEL, None, allow_hub=False)
    assert (weights.source, weights.name, file) == ("starter", starter.name, starter)
    assert hub.asked == []


def test_a_file_that_was_given_comes_before_all_else(hub, starter, tmp_path):
    find_weights(MODEL, None, allow_hub=True)
    given = tmp_path / "mine.pth"
    given.write_bytes(b"mine")
    weights, file = find_weights(MODEL, given, allow_hub=True)
    assert (weights.source, weights.name, weights.sha256, file) == ("path", "mine.pth", sha256_of(given), given)


def test_without_any_weights_the_network_stays_untrained(cache, mmdet):
    weights, file = find_weights(MODEL, None, allow_hub=False)
    assert (weights.source, weights.sha256, file) == ("untrained", None, None)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_hub_that_cannot_be_reached_or_lacks_the_file_is_a_clear_error(hub, cache, monkeypatch, is_there):
    address = hub.address if is_there else f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr("trainer.detection.weights.published_url", lambda _: f"{address}/none-12345678.pth")
    with pytest.raises(
        ConfigError, match=r"hub http://.*none-12345678\.pth: .*; give --weights FILE or drop --allow-hub"
    ):
        find_weights(MODEL, None, allow_hub=True)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.pth: no such file; give --weights the path of"):
        find_weights(MODEL, tmp_path / "none.pth", allow_hub=False)


@pytest.fixture(scope="module")
def network(mmdet):
    """Of one class."""
    return new_network(MODEL, 1)


@pytest.fixture(scope="module")
def published(mmdet, torch) -> dict:
    """Tensors of a detector of COCO's 80 classes."""
    torch.manual_seed(1)
    return new_network(MODEL, 80).state_dict()


def written(torch, content, network, tmp_path):
    torch.save(content, tmp_path / "given.pth")
    out = write_start(tmp_path / "given.pth", network, tmp_path / "work/start.pth")
    return torch.load(out, weights_only=True)["state_dict"]


@pytest.mark.parametrize("is_wrapped", [True, False])
def test_of_a_detector_of_other_classes_all_is_taken_but_the_layer_that_tells_them(
    torch, network, published, tmp_path, is_wrapped
):
    content = {"state_dict": published, "meta": {"epoch": 300}} if is_wrapped else published
    taken = written(torch, content, network, tmp_path)
    found = network.load_state_dict(taken, strict=False)
    assert found.missing_keys
    assert all(key.startswith("bbox_head.rtm_cls.") for key in found.missing_keys)
    assert not found.unexpected_keys
    assert all(torch.equal(value, published[key]) for key, value in taken.items())


def test_of_a_detector_of_as_many_classes_all_is_taken(torch, network, tmp_path):
    assert written(torch, new_network(MODEL, 1).state_dict(), network, tmp_path).keys() == network.state_dict().keys()


def test_of_a_detector_of_one_class_each_class_begins_with_what_it_knows(torch, network, tmp_path):
    known = network.state_dict()
    taken = written(torch, known, new_network(MODEL, 3), tmp_path)
    assert taken.keys() == known.keys()
    heads = {key for key in taken if key.startswith("bbox_head.rtm_cls.")}
    assert heads
    for key in heads:
        assert len(taken[key]) == 3
        assert all(torch.equal(row, known[key][0]) for row in taken[key])
    new_network(MODEL, 3).load_state_dict(taken)


def test_a_backbone_alone_is_taken(torch, network, published, tmp_path):
    backbone = {key: value for key, value in published.items() if key.startswith("backbone.")}
    taken = written(torch, {"state_dict": backbone | {"head.fc.weight": torch.zeros(9)}}, network, tmp_path)
    assert taken.keys() == backbone.keys()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("wider", "has .* of .*; this checkpoint is of another architecture: give --model its own"),
        ("lacks", r"lacks backbone\.stem\.0\.conv\.weight; this checkpoint is of another architecture"),
        ("empty", r"lacks backbone\.[^ ]+; this checkpoint is of another architecture"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused_and_leaves_nothing(  # noqa: PLR0917
    torch, network, published, tmp_path, change, complaint
):
    match change:
        case "wider":
            content = new_network("rtmdet-s", 1).state_dict()
        case "lacks":
            content = {key: value for key, value in published.items() if key != "backbone.stem.0.conv.weight"}
        case _:
            content = {}
    with pytest.raises(ConfigError, match=rf"given\.pth: {complaint}"):
        written(torch, content, network, tmp_path)
    assert not (tmp_path / "work").exists()


class Touch:
    """Code that a pickle runs when it is opened carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("is_zipped", [True, False])
def test_code_in_a_checkpoint_is_never_run(torch, network, tmp_path, is_zipped):
    ran, file = tmp_path / "ran", tmp_path / "evil.pth"
    if is_zipped:
        torch.save({"state_dict": {"backbone.stem.0.conv.weight": Touch(ran)}}, file)
    else:
        file.write_bytes(pickle.dumps({"state_dict": Touch(ran)}))
    with pytest.raises(ConfigError, match=r"evil\.pth: no plain weights"):
        write_start(file, network, tmp_path / "start.pth")
    assert not ran.exists()
    assert not (tmp_path / "start.pth").exists()
    torch.load(file, weights_only=False) if is_zipped else pickle.loads(file.read_bytes())  # noqa: S301 - it would
    assert ran.exists()


def test_the_starter_that_ships_is_whole_small_and_begins_a_detector_of_any_classes(mmdet, tmp_path):
    import torch

    shipped = Path(trainer.__file__).parent.parent / "models/starter"
    file = shipped / "rtmdet-tiny.pth"
    assert sum(path.stat().st_size for path in shipped.glob("*.pth")) < 20e6
    state = torch.load(file, weights_only=True)
    assert all(torch.isfinite(value.float()).all() for value in state.values())
    network = new_network(MODEL, 2)
    out = write_start(file, network, tmp_path / "start.pth")
    begun = torch.load(out, weights_only=True)["state_dict"]
    assert set(begun) == set(network.state_dict())
