"""Training in plain PyTorch, forty lines: no config, no registry, no engine.

python examples/plain_loop.py DATA EPOCHS   # COCO: DATA/train.json, DATA/train/, DATA/val.json, DATA/val/
"""

import sys

import torch
from torch.utils.data import DataLoader

from detr_kit import Detector, build_network
from detr_kit.checkpoints import load_checkpoint, write_checkpoint
from detr_kit.data import CocoDataset, pad_collate
from detr_kit.data.normalize import normalize_batch
from detr_kit.losses import criterion_for

MODEL = "d_fine_n_shapes"
root, epochs = sys.argv[1], int(sys.argv[2])
device = "cuda" if torch.cuda.is_available() else "cpu"

torch.manual_seed(0)
transforms = [dict(type="RandomHorizontalFlip"), dict(type="ResizeShortestSide", sizes=[96, 112, 128])]
data = CocoDataset("train.json", images="train", data_root=root, transforms=transforms)
loader = DataLoader(data, batch_size=8, shuffle=True, collate_fn=pad_collate)
network = build_network(MODEL, num_classes=len(data.categories))
load_checkpoint(network, "builtin", class_names=data.categories.names)
network.to(device)
criterion = criterion_for(network)
optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4, weight_decay=1e-4)

for epoch in range(epochs):
    for batch in loader:
        batch = normalize_batch(batch.to(device))
        losses = criterion(network(batch.images, batch.padding_mask, batch.targets), batch.targets)
        loss = sum(criterion.weighted(losses).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.2f}, IoU of the matches {losses['matched_iou'].item():.2f}")

about = {"config": MODEL, **data.categories.to_metadata()}
write_checkpoint("plain_loop.safetensors", network.state_dict(), about)
print(Detector(checkpoint="plain_loop.safetensors").evaluate(root, "val").table())
