"""The words of a command line."""

from __future__ import annotations

import random

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from tt_hydra.config.arguments import as_typed, quote, understand
from tt_hydra.config.commands import COMMANDS, PATHS, TEXTS
from tt_hydra.errors import ConfigError

TEXT_VALUES = [
    "any text, (with punctuation)", "it's", '"exact phrase"', "a=b", "{a: 1}", "[1,2]", "null", "true", "007", "1e5", "", " blanks ",
    "a\\b", "ends with \\", "\\'", "\\\\'", "${x}", "\\${x}", "cost $5 {x}", "'${oc.env:HOME}'", "línea 中文 🎉", "two\nlines",
    "tab\there", "choice(a,b)", "~a", "+a", "a@b", "#c", "%d", "a:b", "key: value", "-1", "--help",
]  # fmt: skip


def words(*arguments: str):
    return understand(arguments, COMMANDS, TEXTS, PATHS)


def as_hydra_reads(override: str) -> object:
    parsed = OverridesParser.create().parse_override(override)
    config = OmegaConf.create({})
    OmegaConf.update(config, parsed.key_or_group, parsed.value())
    return OmegaConf.select(config, parsed.key_or_group)


@pytest.mark.parametrize("text", TEXT_VALUES)
def test_a_text_reaches_the_command_as_the_shell_gave_it(text):
    for key in TEXTS:
        call = words("search", f"{key}={text}")
        assert call.command == "search"
        assert as_hydra_reads(call.overrides[0]) == text


def test_any_text_survives_quoting():
    alphabet = "\\'\"${}a ,()="
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 9)))
        assert as_hydra_reads(f"query={quote(text)}") == text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("data.path=my data (1), new", "data.path='my data (1), new'"),
        ("data.path=plain/path-1.csv", "data.path='plain/path-1.csv'"),
        ("data.path=007", "data.path='007'"),
        ("data.path=null", "data.path=null"),
        ("data.path='quoted, already'", "data.path='quoted, already'"),
        ("bundle=a=b", "bundle='a=b'"),
        ("hydra.run.dir=${runtime.outputs}/x", "hydra.run.dir=${runtime.outputs}/x"),
        ("tower.hidden_dims=[1,2]", "tower.hidden_dims=[1,2]"),
        ("index.spec=OPQ16_64,IVF256,PQ16", "index.spec='OPQ16_64,IVF256,PQ16'"),
    ],
)
def test_paths_are_quoted_where_hydra_needs_it(given, kept):
    assert words(given).overrides == (kept,)
    assert words(kept).overrides == (kept,), "quoted once, whatever happens"


def test_a_grid_over_paths_stays_a_grid():
    assert words("--multirun", "data.path=a,b").overrides == ("data.path=a,b",)


@pytest.mark.parametrize(
    ("arguments", "command", "argv"),
    [
        ([], "run", ["--config-name=run"]),
        (["tower=mlp"], "run", ["--config-name=run", "tower=mlp"]),
        (["check", "tower=mlp"], "check", ["--config-name=check", "tower=mlp"]),
        (["tower=mlp", "check"], "check", ["--config-name=check", "tower=mlp"]),
        (["--config-dir", "mine", "store"], "store", ["--config-name=store", "--config-dir", "mine"]),
        (["tower=mlp", "-m", "index=a,b", "~data.history"], "run", ["--config-name=run", "-m", "tower=mlp", "index=a,b", "~data.history"]),
        (["--cfg", "job", "run"], "run", ["--config-name=run", "--cfg", "job"]),
    ],
)
def test_the_command_becomes_an_option_of_hydra(arguments, command, argv):
    call = words(*arguments)
    assert (call.command, call.argv) == (command, argv)
    again = words(*call.argv)
    assert (again.command, again.argv) == (command, argv), "Lightning runs the line again for each process"


@pytest.mark.parametrize("text", TEXT_VALUES)
def test_words_are_quoted_once_whoever_reads_them_again(text):
    for key in (*TEXTS, *PATHS, "data.path"):
        told = words("run", f"{key}={text}").argv
        assert understand(told, COMMANDS, (), ()).argv == told, "a process of ours"
        assert words(*as_typed(told, TEXTS, PATHS)).argv == told, "a person who types what was printed"
        if key in TEXTS:
            assert as_typed(told, TEXTS, PATHS)[1:] == [f"{key}={text}"]


@pytest.mark.parametrize("key", ["tower.query_prompt", "data.path"])
@pytest.mark.parametrize("text", ["query: ", "my data (1), new", "a\\b", "", "${x}", "007"])
def test_what_a_study_chooses_can_be_typed(key, text):
    """Hydra hands the values of a list over with other escapes than quotes."""
    override = OverridesParser.create().parse_override(f"{key}=choice({quote(text)},'other text')")
    for chosen in override.sweep_string_iterator():
        word = f"{key}={chosen}"
        (typed,) = as_typed([word], TEXTS, PATHS)
        assert as_hydra_reads(words(typed).overrides[0]) == as_hydra_reads(word)


def test_what_is_no_text_is_typed_as_it_is():
    kept = ["seed=1", "data.path=null", "data.path=${x}/a", "tower.query_prompt=${x}", "tower.query_prompt=choice(a,'')", "~a", "index=a,b"]
    assert as_typed(kept, TEXTS, PATHS) == kept


def test_a_study_may_choose_among_texts():
    chosen = "tower.query_prompt=choice('query: ','')"
    assert words("--multirun", chosen, "tower.item_prompt=a, b").overrides == (chosen, "tower.item_prompt='a, b'")
    assert words(chosen).overrides != (chosen,)


def test_the_users_folder_of_options():
    assert words("--config-dir=mine", "check").folders == ("mine",)
    assert words("check").folders == ()


@pytest.mark.parametrize(
    ("word", "told"), [("chek", "did you mean 'check'?"), ("serch", "did you mean 'search'?"), ("xyz", "Commands: run")]
)
def test_an_unknown_command_names_the_nearest_and_all(word, told):
    with pytest.raises(ConfigError) as refused:
        words(word, "tower=mlp")
    assert told in str(refused.value)
    assert all(command in str(refused.value) for command in COMMANDS)


def test_one_command_at_a_time():
    for arguments in (("check", "run"), ("--config-name=check", "run")):
        with pytest.raises(ConfigError, match="one command at a time"):
            words(*arguments)
    assert words("--config-name=check", "check").command == "check"
    with pytest.raises(ConfigError, match="'other' is no command"):
        words("--config-name=other")
