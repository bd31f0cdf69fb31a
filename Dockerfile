# edge-agent as a container image. Two stages: one that builds wheels, one that only runs.
#
#   docker build -t edge-agent .
#   docker run -v "$PWD/plant.yaml:/etc/edge-agent/plant.yaml:ro" -v edge-agent:/var/lib/edge-agent edge-agent

ARG PYTHON=3.12-slim-bookworm

# --- wheels of the project and of all it needs, and an environment made from them ------------------------------------
FROM python:${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY connectors connectors
COPY edge_agent edge_agent
COPY grafana grafana
COPY kpi kpi
RUN pip wheel --no-cache-dir --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/edge-agent \
    && pip --python /opt/edge-agent/bin/python install --no-cache-dir --no-index --find-links /wheels edge-agent

# --- the image: Python, the environment, a user without rights -------------------------------------------------------
FROM python:${PYTHON}
LABEL org.opencontainers.image.title="edge-agent" \
      org.opencontainers.image.description="Factory gateway: OPC UA and MQTT in, ISO 22400 KPIs out" \
      org.opencontainers.image.licenses="Apache-2.0"
# pip has no business in an image that only runs
RUN pip uninstall --yes pip setuptools wheel 2>/dev/null; \
    useradd --system --uid 10001 --user-group --home-dir /var/lib/edge-agent --no-create-home edge-agent \
    && install -d -o edge-agent -g edge-agent -m 0755 /var/lib/edge-agent
COPY --from=build /opt/edge-agent /opt/edge-agent
ENV PATH=/opt/edge-agent/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER edge-agent
# relative journals lie here, and outlive the container
WORKDIR /var/lib/edge-agent
VOLUME /var/lib/edge-agent
# SIGTERM commits the last tick and closes connections; the exec form hands it to the agent itself
STOPSIGNAL SIGTERM
# healthy = the last tick is younger than half a minute; sources that are down are shown in `status`, and do not
# make a restart
HEALTHCHECK --interval=60s --timeout=15s --start-period=60s --retries=3 \
    CMD ["edge-agent", "status", "/etc/edge-agent/plant.yaml", "--check"]
ENTRYPOINT ["edge-agent"]
CMD ["run", "/etc/edge-agent/plant.yaml"]
