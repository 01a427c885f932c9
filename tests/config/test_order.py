"""What wins over what: the root, the options, the experiment, the command line."""

from __future__ import annotations


def test_a_data_option_sets_global_defaults(look):
    spec = look("data=beir").spec
    assert (spec["metric"], spec["embedding_dim"], spec["evaluate"]["exclude_seen"]) == ("cosine", None, False)
    assert spec["evaluate"]["resamples"] == 1000


def test_the_command_line_wins_over_a_data_option(look):
    spec = look("data=beir", "embedding_dim=32", "evaluate.exclude_seen=true").spec
    assert (spec["embedding_dim"], spec["evaluate"]["exclude_seen"]) == (32, True)


def test_an_experiment_wins_over_the_root_and_over_a_data_option(look, tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# @package _global_\nembedding_dim: 24\nmetric: dot\ntrain: {max_epochs: 3}\n")
    for data in ("movielens", "beir"):
        spec = look(f"data={data}", "experiment=mine", "train.max_epochs=4", folders=[tmp_path]).spec
        assert (spec["embedding_dim"], spec["metric"], spec["train"]["max_epochs"]) == (24, "dot", 4)


def test_an_experiment_chooses_options(look, tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# @package _global_\ndefaults:\n  - override /tower: bert\n  - override /index: hnsw\n")
    spec = look("experiment=mine", "index=flat", folders=[tmp_path]).spec
    assert spec["tower"]["_target_"].endswith("Bert")
    assert spec["index"]["_target_"].endswith("Flat"), "the command line has the last word"


def test_a_side_has_its_own_tower_and_texts_their_own_pooling(look):
    spec = look("tower=bert", "tower@query_tower=mlp", "query_tower.dropout=0.5", "pooling@text_pooling=cls").spec
    assert spec["tower"]["_target_"].endswith("Bert")
    assert (spec["query_tower"]["_target_"].rpartition(".")[2], spec["query_tower"]["dropout"]) == ("Mlp", 0.5)
    assert spec["item_tower"] is None
    assert spec["text_pooling"]["_target_"].endswith("Cls")
    assert spec["history_pooling"] is None


def test_no_logger(look):
    assert look("logger=none").spec["logger"] is None
    assert look().spec["logger"]["_target_"].endswith("Csv")


def test_outputs_follow_the_environment(look, monkeypatch):
    monkeypatch.delenv("TT_HYDRA_OUTPUTS", raising=False)
    assert str(look().spec["runtime"]["outputs"]) == "outputs"
    monkeypatch.setenv("TT_HYDRA_OUTPUTS", "/elsewhere")
    assert str(look().spec["runtime"]["outputs"]) == "/elsewhere"
    assert str(look("query=a", command="search").spec["outputs"]) == "/elsewhere"


def test_check_takes_what_run_takes(look):
    overrides = ("tower=bert", "index=hnsw", "data=beir", "experiment=debug", "sweep.name=mine")
    assert look(*overrides, command="check").spec == look(*overrides).spec
