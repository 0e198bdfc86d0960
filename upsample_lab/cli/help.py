"""The help page, made from the configuration itself: the groups with their choices, and what each key means."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from upsample_lab.cli.compose import compose_one, groups_of
from upsample_lab.config import CONFIG_DIR, allowed_text, choices, rule_of

GROUP_HELP = {
    "upsample": "the upsampling layer of every decoder stage",
    "data": "the images",
    "model": "the encoder-decoder",
    "conv": "which algorithms every convolution uses: the project's own, or PyTorch's",
    "optim": "the optimizer",
    "trainer": "how long and how to train",
    "experiment": "presets that set several of these, and a sweep",
}


def help_page(config_name: str, usage: str, words: list[str]) -> str:
    """What `--help` prints; `words` choose the options whose keys are shown, e.g. `upsample=nearest --help`."""
    config = compose_one(config_name, words)
    parts = [usage.strip(), ""]
    groups = groups_of(config_name)
    if groups:
        parts += ["Groups (group=choice; * is the choice shown below):", ""]
        for group in groups:
            parts += [*_group(group, _chosen(config, group)), ""]
    parts += ["Keys (key=value), with the values in force:", ""]
    parts += list(_keys(config))
    return "\n".join(parts)


def describe_choice(group: str, choice: str) -> str:
    """The one-line comment at the head of `configs/<group>/<choice>.yaml`."""
    lines = (CONFIG_DIR / group / f"{choice}.yaml").read_text(encoding="utf-8").splitlines()
    comments = [line[2:].strip() for line in lines if line.startswith("# ") and not line.startswith("# @")]
    return comments[0] if comments else ""


def _chosen(config: Any, group: str) -> str:
    node = getattr(config, group)
    return str(getattr(node, "name", "default"))


def _group(group: str, chosen: str) -> Iterator[str]:
    yield f"  {group}=    {GROUP_HELP.get(group, '')}"
    for choice in choices(group):
        yield f"    {'*' if choice == chosen else ' '} {choice:<18} {describe_choice(group, choice)}"


def _keys(config: Any, prefix: str = "") -> Iterator[str]:
    for item in dataclasses.fields(config):
        value, rule = getattr(config, item.name), rule_of(type(config), item.name)
        if dataclasses.is_dataclass(value):
            yield from _keys(value, f"{prefix}{item.name}.")
        elif rule is not None:
            shown = f"{prefix}{item.name}={_shown(value)}"
            yield f"  {shown:<36} {rule.help} ({allowed_text(type(config), item.name)})"


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        text = "[" + ",".join(map(str, value)) + "]"
        return text if len(text) < 24 else f"[{len(value)} values]"
    return str(value)
