# Fuzz targets on stable Rust: the compiler counts which branches an input takes, LLVM's libFuzzer looks for others. Without
# sanitizers, which need nightly and find what only unsafe code can do.

FUZZ_FLAGS='--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions'

fuzz() { # SECONDS [TARGET...]: each for so long; what it has found so far is kept for the next time
  local seconds=${1:-60} host name corpus built=$CARGO_TARGET_DIR/fuzz
  shift || true
  [ $# -gt 0 ] || set -- configuration render copy json
  need_tools c++:g++
  host=$(rustc -vV | sed -n 's/^host: //p')
  # The host is named so that programs which only run while building are not counted.
  RUSTFLAGS=$(tr -s '\n ' ' ' <<<"$FUZZ_FLAGS") CARGO_TARGET_DIR=$built \
    cargo build --release --manifest-path fuzz/Cargo.toml --target "$host"
  for name; do
    corpus=$STATE/fuzz/$name
    mkdir -p "$corpus"
    say "$name, $seconds s"
    # An input that fails is written where the program runs.
    if ! (cd "$STATE/fuzz" && "$built/$host/release/$name" -max_total_time="$seconds" -timeout=10 "$corpus") >"$corpus.log" 2>&1; then
      tail -n 25 "$corpus.log" >&2
      die "$name failed; the input is in $STATE/fuzz"
    fi
    tail -n 1 "$corpus.log" >&2
  done
}
