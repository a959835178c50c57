#!/usr/bin/env bash
# The whole check of the CUDA op on a bare GPU machine in under ten minutes: build, test, sanitize, measure.
# Needs torch >= 2.11, torchvision, scipy and numpy, and for all of it a C++ compiler, nvcc, pytest and hypothesis; no
# mmengine and no pycocotools. What is missing is a step that is skipped, and says so; a build without CUDA kernels fails.
#
#   bash benchmarks/gpu_check.sh [FOLDER]     logs and gpu_check.json go to FOLDER (default: $OUT or work_dirs/gpu_check)
#   PYTHON=…  PEER=package.module:function    another interpreter; a peer to be measured too
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:-${OUT:-work_dirs/gpu_check}}
python=${PYTHON:-python3}
mkdir -p "$folder"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
names=() states=() notes=()

note() {  # name, state, what to know
  names+=("$1") states+=("$2") notes+=("$3")
  echo "== $1: $2 ($3)"
}

step() {  # name, seconds, command: runs it, the output in a log
  local name=$1 limit=$2 begin=$SECONDS
  shift 2
  if timeout "$limit" "$@" > "$folder/$name.log" 2>&1; then
    note "$name" ok "$((SECONDS - begin)) s; $(grep -v '^$' "$folder/$name.log" | tail -1 | cut -c1-100)"
  else
    note "$name" FAILED "exit $? after $((SECONDS - begin)) s, see $folder/$name.log"
    tail -25 "$folder/$name.log"
    return 1
  fi
}

gpu=$("$python" -c 'import torch; p = torch.cuda.get_device_properties(0); print(f"{p.major}.{p.minor} {p.name}")' 2> "$folder/gpu.log") || gpu=""
# shellcheck disable=SC2016
built='
import sys, torch
from detr_kit.ops import backend, backend_report
row = backend_report()[1]
print(row["backend"] + ": " + row["reason"])
# Without a GPU it is enough that the kernels are there.
sys.exit(not ("cuda" in backend._native_devices and (row["backend"] == "native" or not torch.cuda.is_available())))
'
if [ -n "$gpu" ]; then
  note card ok "${gpu#* }, capability ${gpu%% *}"
else
  note card skipped "no usable GPU: $(tail -1 "$folder/gpu.log" | cut -c1-80)"
fi

if [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ] || command -v nvcc > /dev/null; then
  own=${gpu%% *}
  export TORCH_CUDA_ARCH_LIST=${TORCH_CUDA_ARCH_LIST:-${own:-9.0}}
  # An install without CUDA kernels is right for a user and a failure here.
  DETR_KIT_REQUIRE_CUDA=1 step build 300 "$python" setup.py -q build_ext --inplace
else
  note build skipped "no nvcc; what is there already is used"
fi
step backend 60 "$python" -c "$built"

tests="tests/ops/test_op_numbers.py tests/ops/test_op_contract.py tests/ops/test_op_cuda.py"
if "$python" -c "import pytest, hypothesis" 2> /dev/null; then
  if [ -n "$gpu" ]; then
    # shellcheck disable=SC2086
    step tests 180 "$python" -m pytest -q -p no:cacheprovider $tests -k "cuda or a_corner"
  else
    note tests skipped "no GPU; the kernels on the processor instead:"
    step emulated 300 "$python" -m pytest -q -p no:cacheprovider tests/ops/test_cuda_plan.py tests/ops/test_cuda_emulated.py
  fi
  if [ -n "$gpu" ] && "$python" -c "import triton" 2> /dev/null; then
    step triton 180 "$python" -m pytest -q -p no:cacheprovider tests/ops/test_op_triton.py
  elif [ -n "$gpu" ]; then
    note triton skipped "triton is not installed"
  else
    step triton 600 "$python" -m pytest -q -p no:cacheprovider tests/ops/test_triton_without_a_card.py
  fi
else
  note tests skipped "pytest or hypothesis is not installed"
fi

# Without a sanitizer its steps are skipped, which is not to be read as passed.
sanitizer=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" 2> /dev/null)
for tool in memcheck racecheck initcheck; do
  if [ -z "$gpu" ] || [ -z "$sanitizer" ]; then
    note "$tool" skipped "$([ -z "$gpu" ] && echo no GPU || echo no compute-sanitizer)"
  else
    # Our kernels alone: over all of torch's, initcheck would not end in time. Their inputs are copied from the host,
    # which counts as written (gpu_sanitize.py).
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 step "$tool" 120 "$sanitizer" --tool "$tool" --error-exitcode 1 \
      --kernel-name kernel_substring=detr_kit "$python" benchmarks/gpu_sanitize.py
  fi
done

if [ -n "$gpu" ]; then
  DETR_KIT_BACKEND=native step benchmark 180 "$python" benchmarks/ms_deform_attn_cuda.py --milliseconds 400 \
    ${PEER:+--peer "$PEER"} --out "$folder/ms_deform_attn_cuda.json"
else
  note benchmark skipped "no GPU"
fi

"$python" - "$folder" "$SECONDS" "${names[@]}" "${states[@]}" "${notes[@]}" << 'END'
import json, sys
folder, seconds, *cells = sys.argv[1:]
count = len(cells) // 3
rows = [dict(zip(("step", "state", "note"), row)) for row in zip(*(cells[i * count:(i + 1) * count] for i in range(3)))]
json.dump({"seconds": int(seconds), "steps": rows}, open(f"{folder}/gpu_check.json", "w"), indent=1)
END
echo
[ -f "$folder/benchmark.log" ] && cat "$folder/benchmark.log"
printf '\n%-10s %-8s %s\n' step state note
failed=0
for i in "${!names[@]}"; do
  printf '%-10s %-8s %s\n' "${names[$i]}" "${states[$i]}" "${notes[$i]}"
  [ "${states[$i]}" = FAILED ] && failed=1
done
exit $failed
