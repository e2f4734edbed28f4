# geoloc serve on a CPU. Build: docker build -t geoloc .
# Run: docker run -p 127.0.0.1:8080:8080 --stop-timeout 30 --read-only --tmpfs /tmp \
#      -v "$PWD/runs/demo:/run/model:ro" geoloc
# Published on 127.0.0.1 alone: without keys, whoever reaches the port may ask.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OMP_WAIT_POLICY=PASSIVE MALLOC_ARENA_MAX=2

WORKDIR /app
COPY constraints.txt ./
# PyTorch's own index has builds without CUDA, a tenth of the size: --build-arg TORCH_INDEX_URL=...
ARG TORCH_INDEX_URL=
RUN pip install -c constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY geoloc ./geoloc
# serve,demo for the quickstart's run, whose backbone is a package.
ARG EXTRAS=serve
RUN pip install -c constraints.txt ".[${EXTRAS}]"
COPY configs/serve.yaml ./serve.yaml

RUN useradd --system --uid 10001 --no-create-home geoloc
USER geoloc
# In the container the port stays 8080, which the health check asks; outside it may be any other:
# -p 127.0.0.1:9000:8080.
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=3s --start-period=60s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
STOPSIGNAL SIGTERM
# A run is mounted at /run/model. Keys: -e GEOLOC_API_KEYS=..., and behind the image's name
# access.api_keys_variable=GEOLOC_API_KEYS.
ENTRYPOINT ["geoloc", "serve", "--run", "/run/model", "--config", "serve.yaml", "host=0.0.0.0", "port=8080"]
