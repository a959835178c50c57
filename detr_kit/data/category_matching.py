"""Labels of one data set for a network that learned another's: classes are the same by their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from ..categories import UNUSED, Categories
from ..errors import InputError


def match_categories(
    own: Categories, learned: Categories, used: Collection[int], where: str, of: str
) -> Categories:
    """The categories of a data set in the order of the learned ones, `N/A` where it lacks one.

    Args:
        own: of the data set; learned: of the training set, or of a checkpoint.
        used: the data set's category ids that have objects; of the others nothing is asked.
        where, of: what the two belong to, for the message.

    Raises:
        InputError: an object's class is not among the learned ones, or its name stands for several.
    """
    if own.names == learned.names:
        return own
    learned_of, own_of = _by_name(learned), _by_name(own)
    for name, labels in own_of.items():
        if not {own.ids[label] for label in labels} & set(used):
            continue
        if name not in learned_of:
            raise InputError(
                f"{where}: its class {name!r} is not among those of {of}: "
                f"{_shown(learned)}; rename or remove it there"
            )
        if len(labels) > 1 or len(learned_of[name]) > 1:
            raise InputError(
                f"{where}: several classes are called {name!r}, there or in {of}, so that they cannot be "
                f"matched by name; rename them, or give both the same categories ({_shown(own)} against "
                f"{_shown(learned)})"
            )
    labels_of = [own_of.get(name, []) for name in learned.names]
    return Categories(
        tuple(name if labels else UNUSED for name, labels in zip(learned.names, labels_of, strict=True)),
        tuple(own.ids[labels[0]] if labels else -1 for labels in labels_of),
    )


def _by_name(categories: Categories) -> dict[str, list[int]]:
    labels = defaultdict(list)
    for label, name in enumerate(categories.names):
        if name != UNUSED:
            labels[name].append(label)
    return dict(labels)


def _shown(categories: Categories, count: int = 10) -> str:
    names = [name for name in categories.names if name != UNUSED]
    return ", ".join(names[:count]) + (f", … ({len(names)})" if len(names) > count else "")
