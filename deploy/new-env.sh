#!/bin/sh
# Writes .env from .env.example, with a fresh random secret after every name that ends in `=`.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env is there already; remove it first if its secrets are to be new" >&2
    exit 1
fi
umask 077
while IFS= read -r line; do
    case $line in
        \#*) printf '%s\n' "$line" ;;
        *=) printf '%s%s\n' "$line" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
        *) printf '%s\n' "$line" ;;
    esac
done <.env.example >.env
echo "wrote .env"
