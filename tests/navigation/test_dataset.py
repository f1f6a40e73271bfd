"""Navigation data as a run sees it."""

import shutil
from dataclasses import replace

import pytest

from genera.errors import GeneraError
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationAssets, NavigationData
from genera.navigation.sources import open_navigation

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def data():
    return NavigationData.open(NavigationConfig(limit=40))


def test_splits_and_limit(data):
    assert data.size("train") == 40 == len(data.paths("train"))
    assert data.size("valid") == data.size("val_seen") > 0
    assert data.size("test") == 0
    with pytest.raises(GeneraError, match="split of world:houses"):
        data.table("val_sen")


def test_paths_are_the_references_of_the_episodes(data):
    paths, table = data.paths("val_unseen"), data.table("val_unseen")
    assert paths.texts[3] == table.episodes[3].instruction
    names = [data.graphs.names[node] for node in paths.nodes[3] if node >= 0]
    assert tuple(names) == table.episodes[3].path
    assert paths.headings[3] == table.episodes[3].heading


def test_assets_come_back_from_their_folder(data, tmp_path):
    data.assets.save(tmp_path)
    loaded = NavigationAssets.load(tmp_path)
    text = data.paths("train").texts[:1]
    assert loaded.tokeniser.encode_batch(text) == data.assets.tokeniser.encode_batch(text)
    assert loaded.words.words == data.assets.words.words
    assert (loaded.view_size, loaded.angle_size, loaded.layout, loaded.slots) == (32, 16, "block", data.assets.slots)
    assert NavigationData.open(NavigationConfig(limit=40), loaded).assets is loaded


def test_a_model_meets_only_views_of_its_own_size(data):
    with pytest.raises(GeneraError, match="trained with --angle-size 16, not 8"):
        NavigationData.open(NavigationConfig(angle_size=8), data.assets)
    with pytest.raises(GeneraError, match="trained with --view-size 32"):
        NavigationData.open(NavigationConfig(view_size=8), data.assets)


def test_bad_values_are_named():
    wrong = NavigationConfig(angle_size=6, max_tokens=1, limit=0).check()
    assert len(wrong) == 3
    assert any("--angle-size must be a positive multiple of 4, got 6" in message for message in wrong)


def test_instructions_are_read_in_lower_case_unless_the_option_keeps_it(data):
    capital, small = data.assets.tokeniser.encode_batch(["Walk to the SOFA", "walk to the sofa"])
    assert capital == small
    cased = NavigationData.open(NavigationConfig(limit=40, cased=True)).assets.tokeniser
    capital, small = cased.encode_batch(["Walk to the SOFA", "walk to the sofa"])
    assert capital != small
    assert NavigationConfig(cased=True, tokeniser="somewhere").check() == [
        "--cased is for a tokeniser trained on the instructions; drop it, or --tokeniser"
    ]


def test_the_tags_of_dialogues_are_whole_tokens(data):
    tokeniser = NavigationData.open(NavigationConfig(data="world:houses-ndh", limit=40)).assets.tokeniser
    (ids,) = tokeniser.encode_batch(["<NAV> to the sofa ? <ORA> to the left . <TAR> lamp"])
    pieces = tokeniser.pieces(ids)
    assert [piece for piece in pieces if "<" in piece or ">" in piece] == ["<NAV>", "<ORA>", "<TAR>"]
    assert "<NAV>" not in data.assets.tokeniser.pieces(range(data.assets.tokeniser.size))  # R2R has no dialogues


def test_invented_views_are_announced(tmp_path, capsys):
    """Real graphs without a feature file, when opened and in a dry run; houses show what their instructions say."""
    NavigationData.sketch(NavigationConfig(), 2)
    house = open_navigation("world:houses")
    NavigationData.open(NavigationConfig(limit=40))
    NavigationData.sketch(NavigationConfig(data=f"r2r:{house.folder}"), 2)  # its scenery is known
    assert "invented" not in capsys.readouterr().err
    shutil.copytree(house.folder, tmp_path / "r2r", ignore=shutil.ignore_patterns("scenery*"))
    config = NavigationConfig(data=f"r2r:{tmp_path / 'r2r'}", limit=40)
    for look in (NavigationData.open, lambda config: NavigationData.sketch(config, 2)):
        look(config)
        said = capsys.readouterr().err
        assert said.count(f"without --features, the views of {config.data} are invented") == 1
    NavigationData.sketch(replace(config, features=tmp_path / "views.tsv"), 2)
    assert "invented" not in capsys.readouterr().err


def test_a_sketch_has_the_sizes(data):
    assets, batch = NavigationData.sketch(NavigationConfig(vocabulary=500), 6)
    assert (assets.tokeniser.size, len(batch), assets.feature_size) == (500, 6, 48)
