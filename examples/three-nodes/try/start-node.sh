#!/bin/sh
# Starts another node on this machine: its name, its address, then ports for status, health and metrics.
set -eu
MCP_REPLICA=$1 LISTEN_AT=$2 STATUS_AT=$3 HEALTH_AT=$4 METRICS_AT=$5
export MCP_REPLICA LISTEN_AT STATUS_AT HEALTH_AT METRICS_AT
mkdir -p run
mcp-deploy serve --config mcp-deploy.yaml --pid-file "run/$1.json" > "run/$1.out" 2>&1 &
curl --silent --output /dev/null --fail --retry 30 --retry-delay 1 --retry-all-errors "http://127.0.0.1:$HEALTH_AT/readyz"
