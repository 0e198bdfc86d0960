"""The help page, made from the configuration itself: the groups with their choices, and what each key means."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from omegaconf import DictConfig, ListConfig, OmegaConf

from upsample_lab.compose import compose_unchecked, groups_of
from upsample_lab.settings import GROUPS, allowed_text, choices, config_dirs, rule_of, variants, without_default

GROUP_HELP = {
    "task": "what goes in, what is wanted, and how it is judged",
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
    config = compose_unchecked(config_name, words)
    parts = [usage.strip(), ""]
    groups = groups_of(config_name)
    if groups:
        parts += ["Groups (group=choice; the keys of the choice marked * are shown below):", ""]
        for group in groups:
            chosen = config[group].get("name", "default")
            parts += [*_group(group, chosen), ""]
    parts += ["Keys (key=value), with the values in force:", "", *_keys(config)]
    return "\n".join(parts)


def describe_choice(group: str, choice: str) -> str:
    """The one-line comment at the head of `configs/<group>/<choice>.yaml`, or what a plugin says of its part."""
    schema = GROUPS.get(group, {}).get(choice)
    if schema is not None and not without_default(schema):
        return schema.__doc__ or ""
    files = (folder / group / f"{choice}.yaml" for folder in config_dirs())
    lines = next(file for file in files if file.is_file()).read_text(encoding="utf-8").splitlines()
    comments = [line[2:].strip() for line in lines if line.startswith("# ") and not line.startswith("# @")]
    return comments[0] if comments else ""


def _group(group: str, chosen: str) -> Iterator[str]:
    yield f"  {group}=    {GROUP_HELP.get(group, '')}"
    for choice in sorted((*choices(group), *variants(group))):
        yield f"    {'*' if choice == chosen else ' '} {choice:<23} {describe_choice(group, choice)}"


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    schema = OmegaConf.get_type(config)
    assert schema is not None
    for item in dataclasses.fields(schema):
        rule = rule_of(schema, item.name)
        if isinstance(node := config._get_node(item.name), DictConfig):
            yield from _keys(node, f"{prefix}{item.name}.")
        elif rule is not None or item.name != "name":  # which is the choice itself
            shown = f"{prefix}{item.name}={_shown(config, item.name)}"
            meaning = f"{rule.help} " if rule is not None else ""
            yield f"  {shown:<36} {meaning}({allowed_text(schema, item.name)})"


def _shown(config: DictConfig, name: str) -> str:
    if OmegaConf.is_missing(config, name):
        return "???"
    value = config[name]
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, ListConfig):
        text = "[" + ",".join(map(str, value)) + "]"
        return text if len(text) < 24 else f"[{len(value)} values]"
    return str(value)
