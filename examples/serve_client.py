"""Ask a detector over HTTP; Python's standard library is enough.

detr-kit serve --checkpoint builtin                   # in another terminal; pip install 'detr-kit[serve]'
python examples/serve_client.py http://127.0.0.1:8000 photo.jpg
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def detect(server: str, image: bytes, score_threshold: float = 0.5) -> list[dict]:
    """Detections of an encoded image: class_name, score, box in pixels."""
    url = f"{server}/detect?score_threshold={score_threshold}"
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=image), timeout=60) as answer:
                return json.load(answer)["detections"]
        except urllib.error.HTTPError as error:
            if error.code != 429:  # others say what is wrong with the request
                raise SystemExit(f"{server}: {json.load(error)['error']['message']}") from None
            time.sleep(float(error.headers["Retry-After"]))  # the server is full, and says when to come again


for path in sys.argv[2:]:
    for found in detect(sys.argv[1], Path(path).read_bytes()):
        print(f"{path}: {found['class_name']} {found['score']:.2f} at {found['box']}")
