#!/bin/sh
# Prints what the Java HdrHistogram reads in a .hlog: `percentiles.sh FILE`. Leaves with 77 when it cannot run here.
set -eu
file=$(realpath "$1")
cd "$(dirname "$0")"
for tool in java mvn; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 77; }
done
classpath=target/classpath.txt
if [ ! -s "$classpath" ]; then
    mkdir -p target
    mvn -q -B dependency:build-classpath -Dmdep.outputFile="$PWD/$classpath.new" >target/mvn.log 2>&1 || {
        echo "mvn cannot fetch HdrHistogram: $(tail -n 3 target/mvn.log)" >&2
        exit 77
    }
    mv "$classpath.new" "$classpath"
fi
exec java -cp "$(cat "$classpath")" src/main/java/Percentiles.java "$file"
