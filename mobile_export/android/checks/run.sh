#!/usr/bin/env bash
# Compiles the three modules with the Kotlin compiler from npm and runs the tests on the JVM.
# Gradle and the Android SDK are not needed: Android, WorkManager and LiteRT are stubs here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(cd ../.. && pwd)

say_missing() {
  printf '%s\n' \
    "make test-android needs a JDK of 17 or newer and npm; $1." \
    "  Debian, Ubuntu:  sudo apt install openjdk-17-jdk-headless nodejs npm" \
    "  Homebrew:        brew install openjdk@17 node" >&2
  exit 1
}
version=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p') || true
[ -n "$version" ] || say_missing "no command 'java' that runs was found"
[ "$version" -ge 17 ] || say_missing "the command 'java' is Java $version"
command -v npm >/dev/null || say_missing "no command 'npm' was found"

if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  echo "Installing the Kotlin compiler into mobile_export/android/node_modules (94 MB)."
  npm ci --silent --no-audit --no-fund
  touch node_modules/.package-lock.json
fi

lib=node_modules/kotlin-compiler/lib
out=build/checks
coroutines=$lib/kotlinx-coroutines-core-jvm.jar
rm -rf "$out"
mkdir -p "$out"

compile() { # TARGET.jar CLASSPATH ARGUMENTS…
  local jar=$out/$1 path=$2
  shift 2
  java -Xmx1g -XX:TieredStopAtLevel=1 -cp "$lib/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler \
    -kotlin-home "$lib/.." -no-reflect -Werror -cp "$path" -d "$jar" "$@"
}

core=$out/core.jar edge=$out/edge.jar
echo "Compiling ecct-edge-core, ecct-edge, the sample and the tests."
# Android has Java 8's library: a newer call is refused here, before it fails on a phone.
old=(-jvm-target 1.8 -Xjdk-release=1.8)
compile core.jar "" "${old[@]}" -Xexplicit-api=strict ecct-edge-core/src/main/kotlin
compile edge.jar "$core:$coroutines" "${old[@]}" -Xexplicit-api=strict \
  ecct-edge/src/main/kotlin checks/stubs/java checks/stubs/kotlin
compile sample.jar "$core:$edge:$coroutines" "${old[@]}" sample/src/main/kotlin checks/stubs/java &
sample=$!
compile tests.jar "$core:$edge:$coroutines:$lib/kotlin-test.jar:$lib/kotlin-test-junit.jar" \
  -jvm-target 17 "-Xfriend-paths=$core,$edge" \
  ecct-edge-core/src/test/kotlin ecct-edge/src/test/kotlin ../../examples/own_codecs/kotlin checks/runner checks/stubs/java
wait "$sample"

# A real interpreter takes part where an environment of this project has one.
worker=$root/mobile_export/runtime/interpreter_worker.py
real=()
if "$root/.venv-current/bin/python" -c 'import ai_edge_litert' 2>/dev/null; then
  real=("-Decct.interpreter=$root/.venv-current/bin/python $worker litert")
elif "$root/.venv/bin/python" -c 'import tensorflow' 2>/dev/null; then
  real=("-Decct.interpreter=$root/.venv/bin/python $worker tensorflow")
fi
[ ${#real[@]} -eq 0 ] || echo "Running the tests with ${real[0]##* } as the real interpreter."
exec java "${real[@]}" \
  -cp "$core:$edge:$out/tests.jar:$lib/kotlin-stdlib.jar:$lib/kotlin-test.jar:$coroutines:ecct-edge-core/src/test/resources" \
  checks.RunTestsKt "$out/tests.jar"
