"""The words of a command line: the command, Hydra's own options, overrides; free texts are quoted so that Hydra takes them as is."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tt_hydra.config.problems import nearest
from tt_hydra.errors import ConfigError

CHOICE = re.compile(r"[^=]*=choice\(.*\)$", re.DOTALL)
"""An override with several values, written so that it cannot be meant as a text."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command line, understood.

    Attributes:
        command: name of the command, that is of its primary config.
        options: Hydra's options (``--multirun``), as they were given.
        overrides: as they go to Hydra, texts quoted.
        flags: the options, parsed.
    """

    command: str
    options: tuple[str, ...]
    overrides: tuple[str, ...]
    flags: argparse.Namespace

    @property
    def folders(self) -> tuple[str, ...]:
        """The user's own folders of options."""
        return () if self.flags.config_dir is None else (self.flags.config_dir,)

    @property
    def argv(self) -> list[str]:
        """The arguments for Hydra; understood again without texts and paths, which are quoted by now, they give the same call."""
        name = [] if self.flags.config_name is not None else [f"--config-name={self.command}"]
        return [*name, *self.options, *self.overrides]


def understand(arguments: Sequence[str], commands: Collection[str], texts: Collection[str], paths: Collection[str]) -> Call:
    """Splits a command line.

    Args:
        arguments: without the program's name.
        commands: names of commands; the first is the one that no command means.
        texts: keys whose value is a literal text, whatever it holds; of several jobs, ``choice(...)`` names one text for each.
        paths: keys whose value is a text unless it is null, quoted already, or an interpolation; in a grid it may be several.

    Raises:
        ConfigError: an unknown command, or two.
    """
    flags = get_args_parser().parse_intermixed_args(list(arguments))
    words = [word for word in flags.overrides if "=" not in word and not word.startswith("~")]
    named = [] if flags.config_name is None else [flags.config_name]
    left = list(flags.overrides)
    options = tuple(argument for argument in arguments if not (argument in left and _take(left, argument)))
    for word in (*words, *named):
        if word not in commands:
            match = nearest(word, commands)
            hint = f"did you mean {match!r}? " if match is not None else ""
            raise ConfigError(f"{word!r} is no command; {hint}Commands: {', '.join(commands)}. A setting is written KEY=VALUE.")
    if len({*words, *named}) > 1:
        raise ConfigError(f"one command at a time, got {' and '.join((*words, *named))}")
    command = next(iter((*words, *named, *commands)))
    overrides = [each for each in flags.overrides if each not in words]
    if flags.multirun:
        quoted = (each if CHOICE.match(each) else _quoted(each, texts, ()) for each in overrides)
    else:
        quoted = (_quoted(each, texts, paths) for each in overrides)
    return Call(command, options, tuple(quoted), flags)


def as_typed(words: Sequence[str], texts: Collection[str], paths: Collection[str]) -> list[str]:
    """Words for Hydra as a shell would hand them over: understood, with the same texts and paths, they are the same again."""
    return [_unquoted(word, texts, paths) for word in words]


def quote(text: str) -> str:
    """A text as a quoted value that Hydra and OmegaConf read back unchanged."""
    text = re.sub(r"(\\*)\$\{", lambda found: found.group(1) * 2 + "\\${", text)
    text = re.sub(r"(\\*)('|$)", lambda found: found.group(1) * 2 + ("\\'" if found.group(2) else ""), text)
    return f"'{text}'"


def _take(left: list[str], argument: str) -> bool:
    left.remove(argument)
    return True


def _quoted(override: str, texts: Collection[str], paths: Collection[str]) -> str:
    key, _, value = override.partition("=")
    if key in texts or (_is_path(key, paths) and value not in ("", "null") and _is_bare(value)):
        return f"{key}={quote(value)}"
    return override


def _unquoted(word: str, texts: Collection[str], paths: Collection[str]) -> str:
    key, _, value = word.partition("=")
    if not (key in texts or (_is_path(key, paths) and "\\" in value and _is_bare(value))):
        return word
    try:
        parsed = _value(word)
        text = OmegaConf.create({"": parsed})[""]
        same = isinstance(text, str) and _value(f"={quote(text)}") == parsed
    except (HydraException, OmegaConfBaseException):
        return word
    return f"{key}={text if key in texts else quote(text)}" if same else word


def _value(word: str) -> object:
    """The value of an override as Hydra reads it; several are none."""
    parsed = OverridesParser.create().parse_override(f"key={word.partition('=')[2]}")
    return None if parsed.is_sweep_override() else parsed.value()


def _is_path(key: str, paths: Collection[str]) -> bool:
    return bool(paths) and (key in paths or key.endswith(".path"))


def _is_bare(value: str) -> bool:
    """Whether a value is neither quoted nor an interpolation."""
    return value[:1] not in ("'", '"') and "${" not in value
