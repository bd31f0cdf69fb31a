#!/bin/sh
# Runs once, when InfluxDB 2 sets itself up (the image calls what lies in /docker-entrypoint-initdb.d).
# Boards ask in InfluxQL, which knows databases: this maps one to the bucket and makes a user that may only read it.
set -eu
influx v1 dbrp create \
    --org "$DOCKER_INFLUXDB_INIT_ORG" \
    --bucket-id "$DOCKER_INFLUXDB_INIT_BUCKET_ID" \
    --db "$DOCKER_INFLUXDB_INIT_BUCKET" \
    --rp autogen \
    --default
influx v1 auth create \
    --org "$DOCKER_INFLUXDB_INIT_ORG" \
    --username grafana \
    --password "$INFLUX_READ_PASSWORD" \
    --read-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID" >/dev/null
