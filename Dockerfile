# Two stages: build the wheel, then a small image that runs it as nobody in particular, on a read-only root.
#   docker build -t asl-gateway .
#   docker run --read-only --user 12345 -v asl-state:/state -p 8080:8080 asl-gateway \
#       serve --upstream http://host.docker.internal:8000 --model my-model --asl 3 --listen 0.0.0.0:8080 --state /state
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md constraints.txt ./
COPY gateway gateway
COPY classifiers classifiers
COPY config config
RUN python -m venv /opt/asl-gateway \
    && /opt/asl-gateway/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="asl-gateway" \
      org.opencontainers.image.description="Applies the controls that a served model's AI Safety Level demands" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/asl-gateway /opt/asl-gateway
# Any user may write the state; a deployment mounts a volume of its own here.
RUN mkdir /state && chmod 0777 /state
ENV PATH=/opt/asl-gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ASL_GATEWAY_STATE=/state
USER 65532:65532
VOLUME /state
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/readyz', timeout=2)"]
ENTRYPOINT ["asl-gateway"]
CMD ["--help"]
