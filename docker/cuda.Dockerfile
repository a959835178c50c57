# docker build -f docker/cuda.Dockerfile -t detr-kit:cuda .
# docker run --rm --gpus all --shm-size 8g -v "$PWD":/work detr-kit:cuda train --data DATA
#
# CUDA_ARCHITECTURES: of your cards, "8.0" for A100, "8.6" for RTX 30, "8.9" for RTX 40 and L4, "9.0" for H100.
# Fewer build sooner; PTX of the newest serves cards to come.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS build
ARG CUDA_ARCHITECTURES="8.0 9.0+PTX"
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/* && python3 -m venv /opt/detr-kit
ENV PATH=/opt/detr-kit/bin:$PATH PIP_NO_CACHE_DIR=1
RUN pip install torch torchvision --index-url https://download.pytorch.org/whl/cu130 && pip install "setuptools>=77"
COPY . /source
# A card that nobody can use because the kernels were left out is an error here, and no warning.
RUN TORCH_CUDA_ARCH_LIST="$CUDA_ARCHITECTURES" DETR_KIT_REQUIRE_CUDA=1 \
    pip install --no-build-isolation "/source[serve,onnx]" \
    && pip uninstall --yes opencv-python && pip install opencv-python-headless

# The op has the CUDA runtime inside, and torch's wheels bring the libraries that torch needs.
FROM ubuntu:24.04
RUN apt-get update && apt-get install --yes --no-install-recommends python3 libgomp1 \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home detr
COPY --from=build /opt/detr-kit /opt/detr-kit
ENV PATH=/opt/detr-kit/bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER detr
WORKDIR /work
ENTRYPOINT ["detr-kit"]
CMD ["env"]
