# A worker that runs what `prefect deploy` has deployed; or, with another command, `python -m orchestration serve`.
#   docker build -t streaming-ops . && docker run --init --env-file .env streaming-ops
# The target is Snowflake: with DuckDB, mount a volume and set STREAMING_OPS_DUCKDB_PATH to a file in it.
FROM python:3.13-slim

# The folder that `prefect deploy` wrote into the deployment has to be this one: deploy from this image.
WORKDIR /opt/streaming-ops
COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . ./
RUN cp profiles.example.yml profiles.yml \
    && useradd --create-home --uid 1000 streaming \
    && chown -R streaming /opt/streaming-ops
USER 1000

ENV DBT_TARGET=snowflake \
    PYTHONUNBUFFERED=1
CMD ["prefect", "worker", "start", "--pool", "streaming-ops"]
