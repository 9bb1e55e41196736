# The demo: BC, BCQ, CQL and IQL, dense and 95 % pruned, in one table.
#   docker build --tag offline-prune .
#   docker run --rm offline-prune                    # ten minutes on two cores
#   docker run --rm offline-prune doctor             # any other command
FROM python:3.11-slim

# An index that has builds of torch for the CPU makes the image some gigabytes smaller.
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build
COPY constraints.txt ./
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --constraint constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY algos algos
COPY datasets datasets
COPY offline_prune offline_prune
RUN pip install --constraint constraints.txt ".[fast]" && rm -rf /build/*

RUN useradd --create-home user
USER user
WORKDIR /home/user
# One thread a process, and compiled kernels where the user may write.
ENV OMP_NUM_THREADS=1 NUMBA_CACHE_DIR=/home/user/.cache/numba
ENTRYPOINT ["offline-prune"]
CMD ["demo"]
