# docker build -f docker/cpu.Dockerfile -t detr-kit .
# docker run --rm -v "$PWD":/work detr-kit predict photo.jpg --checkpoint builtin
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/detr-kit
ENV PATH=/opt/detr-kit/bin:$PATH PIP_NO_CACHE_DIR=1
# First, and by itself: this layer is kept while the sources change. The CPU's torch needs no CUDA libraries.
RUN pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu && pip install "setuptools>=77"
COPY . /source
# opencv-python wants a desktop's libGL; the headless one is the same module without it.
RUN pip install --no-build-isolation "/source[serve,onnx]" \
    && pip uninstall --yes opencv-python && pip install opencv-python-headless

FROM python:3.12-slim
# libgomp is OpenMP's, for torch.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home detr
COPY --from=build /opt/detr-kit /opt/detr-kit
ENV PATH=/opt/detr-kit/bin:$PATH
USER detr
WORKDIR /work
ENTRYPOINT ["detr-kit"]
CMD ["env"]
