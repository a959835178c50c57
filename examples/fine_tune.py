"""Fine-tune on a folder of COCO, Pascal VOC, YOLO or CVAT files, look at it, measure it.

python examples/fine_tune.py DATA                 # from published weights
python examples/fine_tune.py DATA builtin 2       # from the small detector in the package, 2 epochs
"""

import sys

import detr_kit

data = sys.argv[1]
checkpoint = sys.argv[2] if len(sys.argv) > 2 else None
epochs = int(sys.argv[3]) if len(sys.argv) > 3 else None


def tell(figures):
    print(f"epoch {figures['epoch']}: loss {figures['loss']:.2f}, AP {figures.get('AP', float('nan')):.3f}")


detector, figures = detr_kit.train(data, checkpoint=checkpoint, epochs=epochs, callbacks=[tell], ema=True)
print(f"validation: AP {figures['AP']:.3f}, AP50 {figures['AP50']:.3f}")

result = detector.evaluate(data)  # the test split, where there is one
print(result.table())
print("weights:", detector.checkpoint)
