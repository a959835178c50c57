"""A data set as a model knows it: classes are the same by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..categories import Categories
from ..errors import InputError


def with_known_classes(content: dict[str, Any], known: Categories, where: str, of: str) -> dict[str, Any]:
    """A COCO set with a model's classes: it is left alone where it has them in their order.

    Objects of a class that the model does not know are left out, and so are, in the mean, classes that the
    set does not have; both are printed.

    Args:
        content: the set in COCO form.
        known: the model's.
        where, of: what the two belong to, for the message.

    Raises:
        InputError: no class in common.
    """
    own = sorted(content["categories"], key=lambda category: int(category["id"]))
    names = {int(category["id"]): str(category["name"]) for category in own}
    if tuple(names.values()) == known.names:
        return content
    id_of = {known.names[label]: category for category, label in known.label_of_id.items()}
    if not id_of.keys() & set(names.values()):
        raise InputError(
            f"{where}: none of its classes {list(names.values())} is one of {of}, which knows "
            f"{list(id_of)}; classes are matched by name"
        )
    kept = [a for a in content["annotations"] if names.get(int(a["category_id"])) in id_of]
    _tell(names, id_of, len(content["annotations"]) - len(kept))
    return {
        **content,
        "categories": [{"id": category, "name": name} for name, category in id_of.items()],
        "annotations": [{**a, "category_id": id_of[names[int(a["category_id"])]]} for a in kept],
    }


def _tell(names: Mapping[int, str], id_of: Mapping[str, int], left_out: int) -> None:
    unknown = [name for name in names.values() if name not in id_of]
    missing = [name for name in id_of if name not in names.values()]
    print("the classes of the set are matched with the checkpoint's by name", flush=True)
    if unknown:
        print(f"not known to the checkpoint, {left_out} objects left out: {', '.join(unknown)}", flush=True)
    if missing:
        print(f"not in this set, and so not in the mean: {', '.join(missing)}", flush=True)
