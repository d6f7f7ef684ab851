#!/bin/sh
# Makes curvine_pb2.py and curvine_pb2.pyi from curvine.proto.  Needs protoc 3.21: what it makes runs with every later
# protobuf package too.  Run anywhere; the results are checked in and never edited.
set -eu
cd "$(dirname "$0")/../.."
protoc --python_out=. --pyi_out=. curvinefs/proto/curvine.proto
for made in curvinefs/proto/curvine_pb2.py curvinefs/proto/curvine_pb2.pyi; do
    printf '# mypy: ignore-errors\n' | cat - "$made" >"$made.new"
    mv "$made.new" "$made"
done
