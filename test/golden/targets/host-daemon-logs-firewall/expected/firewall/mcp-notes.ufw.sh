#!/bin/sh
# mcp-deploy: the MCP endpoint "notes" behind ufw. Read it, then run it as root; nothing here was applied.
set -eu

# First the way back in: a firewall that is on without it locks you out. "limit" slows down who tries passwords.
ufw limit 22/tcp comment 'ssh'
ufw allow proto tcp from 10.0.0.0/8 to any port 8443 comment 'mcp-deploy notes'
ufw allow proto tcp from 2001:db8::/32 to any port 8443 comment 'mcp-deploy notes'

# Everything else stays outside; what this machine asks for itself goes out.
ufw default deny incoming
ufw default allow outgoing
# Without --force it asks before it may cut your connection.
ufw enable
