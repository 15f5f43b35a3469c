#!/bin/sh
# mcp-deploy: the MCP endpoint "mcp" behind ufw. Read it, then run it as root; nothing here was applied.
set -eu

# First the way back in: a firewall that is on without it locks you out. "limit" slows down who tries passwords.
ufw limit 22/tcp comment 'ssh'
ufw allow proto tcp from any to any port 9080 comment 'mcp-deploy mcp'
ufw allow proto tcp from any to any port 9443 comment 'mcp-deploy mcp'

# Everything else stays outside; what this machine asks for itself goes out.
ufw default deny incoming
ufw default allow outgoing
# Without --force it asks before it may cut your connection.
ufw enable
