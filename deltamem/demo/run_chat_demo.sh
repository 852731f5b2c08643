#!/usr/bin/env bash
# Chat in the terminal with a frozen model, with or without δ-mem. All settings are optional:
#   MODEL_PATH=<preset, hub id or folder>     default: the demo model
#   ADAPTER_DIR=<folder, hub id or name>      default: the model's own adapter
#   MODE=base|delta                           default: delta (with memory)
#   PYTHON=<interpreter>                      default: python3
# Further options are passed on; see them with --help.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -m deltamem.demo "$@"
