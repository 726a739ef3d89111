# One image for `kato-exporter serve` and `kato-exporter browse`. BASE may be any Linux with python3
# 3.11 or newer and its pip, as `docker build --build-arg BASE=...`; nothing is compiled.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
COPY requirements/run.txt /build/
RUN python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore \
    --require-hashes --no-deps --only-binary :all: \
    --target /opt/kato --requirement /build/run.txt \
 && rm -rf /opt/kato/bin
COPY exporter/kato_exporter /opt/kato/kato_exporter
COPY deploy/healthcheck.py /opt/kato/
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/kato

FROM ${BASE} AS exporter
# What can install or build is of no use to a program that only runs.
RUN python3 -m pip uninstall --yes --quiet --root-user-action ignore --break-system-packages \
    setuptools wheel pip \
 && rm -rf "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')/ensurepip"
COPY --from=build /opt/kato /opt/kato
# A new volume for the browser's trash and audit log takes owner and mode from here.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/kato
ENV PYTHONPATH=/opt/kato \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    KATO_LISTEN=0.0.0.0:9898 \
    KATO_BROWSER_LISTEN=0.0.0.0:8098
USER 65532:65532
EXPOSE 9898 8098
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-IS", "/opt/kato/healthcheck.py", "KATO_LISTEN"]
ENTRYPOINT ["python3", "-m", "kato_exporter"]
CMD ["serve"]

# The demo's workload needs a client of Qdrant; the image that runs beside a KATO does not.
FROM ${BASE} AS demo-build
COPY requirements/demo.txt /build/
RUN python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action ignore \
    --require-hashes --no-deps --only-binary :all: \
    --target /opt/kato --requirement /build/demo.txt
COPY exporter/kato_exporter /opt/kato/kato_exporter
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/kato

FROM exporter AS demo
COPY --from=demo-build /opt/kato /opt/kato
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m", "kato_exporter.demo.on_stores"]
CMD []

FROM exporter
