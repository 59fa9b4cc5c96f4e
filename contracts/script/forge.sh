#!/usr/bin/env bash
# forge from node_modules, with the npm compiler. Usage, from anywhere after `npm ci`:
#   contracts/script/forge.sh test | build | fmt --check | coverage
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$root"

case "$(uname -s)" in
  Linux) os=linux ;;
  Darwin) os=darwin ;;
  *) echo "forge.sh: no forge for $(uname -s)" >&2; exit 1 ;;
esac
case "$(uname -m)" in
  x86_64 | amd64) arch=amd64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) echo "forge.sh: no forge for $(uname -m)" >&2; exit 1 ;;
esac

forge="$root/node_modules/@foundry-rs/forge-$os-$arch/bin/forge"
if [[ ! -x "$forge" ]]; then
  if ! forge="$(command -v forge)"; then
    echo "forge.sh: no forge in node_modules (npm has it locked for linux-amd64: run 'make tools') nor on PATH" >&2
    exit 1
  fi
fi
export FOUNDRY_SOLC="$root/contracts/script/solc-wrapper.js" FOUNDRY_DISABLE_NIGHTLY_WARNING=1
exec "$forge" "$@"
