# The stages of tests/gpu.sh with their limits, and the summary after each. Sourced by it.

# Prints the limit of a stage in seconds: the training keeps its share even if earlier stages are slow.
seconds_for() {
  local left=$((seconds - SECONDS)) share=$((seconds / 4 < 60 ? seconds / 4 : 60))
  if [ -n "${wanted[training]:-}" ] && [ "$1" != training ]; then left=$((left - share)); fi
  echo $((left < limit[$1] ? left : limit[$1]))
}

# timed NAME SECONDS COMMAND…: runs it with a limit; its exit code and duration go into the summary.
timed() {
  local name=$1 most=$2 code=0 begin=$SECONDS
  shift 2
  [ "$most" -le $((seconds - SECONDS)) ] || most=$((seconds - SECONDS))
  [ "$most" -ge 1 ] || most=1
  timeout --kill-after 10 "$most" "$@" &
  local next=$((SECONDS + 30))
  while kill -0 $! 2>/dev/null; do
    sleep 0.2
    [ $SECONDS -lt $next ] || { write_summary || true; next=$((SECONDS + 30)); }
  done
  wait $! || code=$?
  note '"stage": "%s", "code": %d, "seconds": %d, "at": %d' "$name" $code $((SECONDS - begin)) $begin
  summarise
  return $code
}

# Writes the summary of the results so far, also to --out; false if a test failed.
write_summary() {
  local code=0
  python3 tests/gpu_summary.py "$report" "$run" || code=1
  [ -n "$out" ] || return $code
  cp "$report"/summary.{md,json} "$out/"
  tar -C "$report" --exclude 'summary.*' -czf "$out/details.tar.gz" .
  return $code
}
summarise() { write_summary || failed=1; }

# run_stage NAME: runs it, or reports why it is skipped.
run_stage() {
  local most
  most=$(seconds_for "$1")
  if [ "$most" -lt 5 ] && [ "$most" -lt "${limit[$1]}" ]; then
    note '"stage": "%s", "left_out": "no time is left"' "$1"
    summarise
    return
  fi
  echo "gpu.sh: $1, at $SECONDS s, at most $most s" >&2
  "stage_$1" "$most" || failed=1
}

# run_tests NAME SECONDS FILTER: writes a format that stays readable if a test is cut off.
run_tests() { timed "$1" "$2" "${launch[@]}" "$bin/hmrnn_tests" "$3" -r xml -o "$report/$1.xml"; }

# The short tests first: whether the kernels are correct, in every precision.
stage_tests() {
  local filter='[cuda]~[persistent]~"*at all sizes*"' # in quotes: a name ends at the next quote
  [ $small = no ] || filter+='~"*replays are plain launches*"~"*goes from a GPU*"'
  run_tests tests "$1" "$filter"
}
stage_sizes() { run_tests sizes "$1" '[cuda]"*at all sizes*"'; }
# A separate stage, since the blocks of a faulty persistent kernel may wait for each other forever; if it fails, later
# stages do not use this kernel.
persistent=on
stage_persistent() {
  local filter="[persistent]"
  [ $small = no ] || filter+='~"*at many sizes*"~"*every gradient*"~"*replays are plain launches*"'
  run_tests persistent "$1" "$filter" || { persistent=off; return 1; }
}

bench() {
  local name=$1 most=$2
  shift 2
  timed "$name" "$most" "${launch[@]}" "$bin/hmrnn_bench" --device cuda --persistent $persistent "$@" --json "$report/$name.json" \
    >"$report/$name.txt" 2>&1
}
small_size=(--quick --size 32,16,10)
stage_benchmark() {
  if [ $small = yes ]; then bench benchmark "$1" "${small_size[@]}" --rounds 1; else bench benchmark "$1" --rounds 3; fi
}
# A separate process, so that a profiler that fails loses no measurement.
stage_profile() {
  if [ $small = yes ]; then
    bench profile "$1" "${small_size[@]}" --profile --only core/hm_lstm
  else
    bench profile "$1" --profile --only 3x512
  fi
}

stage_sanitizer() {
  local tool log end=$((SECONDS + $1)) code=0 sanitizer
  sanitizer=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer) || {
    note '"stage": "sanitizer", "left_out": "there is no compute-sanitizer"'
    return 0
  }
  for tool in memcheck racecheck synccheck; do
    # A third of the time each, plus what the earlier ones left.
    local left=$((end - SECONDS)) shares
    case $tool in memcheck) shares=3 ;; racecheck) shares=2 ;; *) shares=1 ;; esac
    if [ "$left" -lt 5 ]; then
      note '"stage": "sanitizer %s", "left_out": "no time is left"' $tool
      continue
    fi
    # Only our kernels, and each tensor with its own cudaMalloc: within a block of LibTorch's cache no access is out of
    # bounds.
    timed "sanitizer $tool" $((left / shares)) "${launch[0]}" PYTORCH_NO_CUDA_MEMORY_CACHING=1 "${launch[1]}" "${launch[2]}" \
      "$sanitizer" --tool $tool --kernel-regex kns=hmrnn --error-exitcode 9 --print-limit 20 \
      "${launch[@]:3}" "$bin/hmrnn_tests" "[sanitizer]" >"$report/sanitizer_$tool.txt" 2>&1 || code=1
  done
  return $code
}

# Prints the number of epochs that fit into the given seconds at the measured speed, validations included; nothing if it
# is unknown.
epochs_in() {
  python3 - "$report/benchmark.json" "$data_dir" "$1" $persistent <<'PY' 2>/dev/null || true
import json, pathlib, sys
rows = json.load(open(sys.argv[1]))["rows"]
rows = [row for row in rows if row["case"] == "training/char_lm_hm_lstm" and row.get("launch") in ("graph", "persistent")]
least = min(row["units"] for row in rows)  # 512, that of the preset
speed = max(row["characters_per_second"] for row in rows if row["units"] == least)
folder = pathlib.Path(sys.argv[2])
text = folder / "ptb.char.train.txt"
# In files of characters, each is followed by a blank.
characters = text.stat().st_size / 2 if text.exists() else (folder / "ptb.train.txt").stat().st_size
print(max(1, int(0.85 * float(sys.argv[3]) * speed / characters)))
PY
}

# Trains with the preset's recipe until the limit, validates at the end, then evaluates the test text and copies the
# model.
stage_training() {
  local most=$1 end=$((seconds / 8 < 40 ? seconds / 8 : 40)) before=0 length options=() corpus=(--corpus synthetic) count
  length=$((most - end))
  [ -z "$minutes" ] || length=$(awk "BEGIN { m = $minutes * 60; print int(m < $length ? m : $length) }")
  [ "$length" -ge 1 ] || length=1
  [ -z "$data_dir" ] || corpus=(--data-dir "$data_dir")
  if [ $resume = yes ]; then
    options=(--resume)
    before=$(python3 - "$run/last/state.safetensors" <<'PY'
import json, struct, sys
with open(sys.argv[1], "rb") as file:
    header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
print(json.loads(header["__metadata__"]["hmrnn"])["elapsed_seconds"])
PY
    )
  else
    options=(--preset ptb "${corpus[@]}" --dtype auto)
    [ $small = no ] || options+=(--units 32 --embedding 16 --output-embedding 32 --batch 16 --window 10)
  fi
  if [ "$epochs" = auto ]; then
    count=$(epochs_in "$length")
    if [ -n "$count" ]; then options+=(--epochs "$count"); else echo "gpu.sh: --epochs auto: no speed was measured, so no such limit" >&2; fi
  elif [ -n "$epochs" ]; then
    options+=(--epochs "$epochs")
  fi
  options+=(--minutes "$(awk "BEGIN { print ($before + $length) / 60 }")" --log-every $([ $small = yes ] && echo 5 || echo 100))
  [ $persistent = on ] || options+=(--cuda-persistent off)
  read -r -a more <<<"$train_options"
  note '"stage": "options", "train": "%s"' "$(tr -d '"\\' <<<"${options[*]} ${more[*]}")"
  timed training $((length + end)) "${launch[@]}" "$bin/char_lm" train "${options[@]}" "${more[@]}" --device cuda --out "$run" \
    >>"$report/training.txt" 2>&1 || { tail -n 2 "$report/training.txt" >&2; return 1; }
  # 64 streams that start from zeros: a single one would take longer on a GPU.
  timed evaluation $((seconds - SECONDS)) "${launch[@]}" "$bin/char_lm" eval "$run" --split test --streams 64 --device cuda --json \
    >"$report/evaluation.json" 2>"$report/evaluation.txt" || { tail -n 1 "$report/evaluation.txt" >&2; return 1; }
  [ -z "$out" ] || take_model
}

# Copies the model in parts that are small enough to upload: cat model.safetensors.* >model.safetensors joins them.
take_model() {
  local model=$run/best/model.safetensors
  [ -e "$model" ] || model=$run/last/model.safetensors
  rm -f "$out"/model.safetensors*
  if [ "$(stat -c %s "$model")" -le 15000000 ]; then
    cp "$model" "$out/"
  else
    split -b 15000000 -d -a 1 "$model" "$out/model.safetensors."
  fi
}
