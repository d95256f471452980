# The command `huidurep` with PyTorch for the CPU. From a clone:
#   docker build -t huidurep .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" huidurep sort my_spikeglx_run/ -o sorted
# For a GPU (then `docker run --gpus all`): --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY weights weights
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# PyTorch first: its index has nothing else that we need, and a new version of the sorter keeps this layer.
RUN python -m pip install --no-cache-dir --index-url "${TORCH_INDEX}" torch
COPY --from=wheel /wheels /wheels
RUN python -m pip install --no-cache-dir /wheels/*.whl
# Any user may run it, and has somewhere to keep compiled functions and settings.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /data
ENTRYPOINT ["huidurep"]
CMD ["--help"]
