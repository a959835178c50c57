"""Find objects in a picture, draw them, and use the numbers.

python examples/predict.py photo.jpg              # published weights, fetched once: 80 classes of COCO
python examples/predict.py photo.jpg builtin      # the small detector in the package: drawn shapes
"""

import sys

from detr_kit import Detector

picture = sys.argv[1]
detector = Detector(checkpoint=sys.argv[2]) if len(sys.argv) > 2 else Detector("deformable_detr_r50")
detections = detector(picture, score_threshold=0.5)

for name, score, (x0, y0, x1, y1) in zip(
    detections.class_names, detections.scores.tolist(), detections.boxes.tolist(), strict=True
):
    print(f"{name} {score:.2f} at {x0:.0f}, {y0:.0f} – {x1:.0f}, {y1:.0f}")
print("written to", detections.save("predicted.png"))
