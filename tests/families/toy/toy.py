# What would be `configs/toy.py`; its network and family come from beside it.
_base_ = "../../configs/tiny.py"
custom_imports = dict(imports=["tests.families.toy.family"])

model = dict(
    network=dict(
        _delete_=True,
        type="ToyDetector",
        num_classes=5,
        num_queries=12,
        width=16,
        position_encoding=dict(type="SinePositionEncoding", num_feats=8),
    )
)
