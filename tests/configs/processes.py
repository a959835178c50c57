# The tiny network without batch statistics, which processes do not share; two images a step in each process.
_base_ = "tiny.py"

custom_imports = dict(imports=["tests.engine.faults"])

model = dict(network=dict(backbone=dict(norm="frozen")))
train_dataloader = dict(batch_size=2)
val_dataloader = dict(batch_size=2)
test_dataloader = dict(batch_size=2)
default_hooks = dict(logger=dict(interval=1))
train_cfg = dict(max_epochs=1)
