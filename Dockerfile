# The worker, and the whole `writeback` command, as an image: slim, not root, the exact versions that CI ran with.
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/writeback
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE writeback.py ./
COPY topics topics
COPY connectors connectors
COPY dead_letter dead_letter
COPY worker worker
COPY pq pq
RUN /opt/writeback/bin/python -m pip install --no-cache-dir --constraint constraints.txt '.[postgres]'

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /home/writeback writeback
COPY --from=build /opt/writeback /opt/writeback
ENV PATH=/opt/writeback/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WRITEBACK_REPORTS=stderr
# What fails inside a container is read in its log: a report in its file system goes when it does.
USER 10001
WORKDIR /home/writeback
STOPSIGNAL SIGTERM
# tini passes the signal on and reaps what a killed child leaves behind; no shell stands between.
ENTRYPOINT ["tini", "--", "writeback"]
CMD ["--help"]
