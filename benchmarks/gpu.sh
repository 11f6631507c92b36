#!/usr/bin/env bash
# Use a GPU machine well: its tests, then a 128-pixel chest X-ray bundle, in pieces that can be interrupted.
#
#   benchmarks/gpu.sh test                        the tests that need a GPU
#   benchmarks/gpu.sh ops     [FOLDER]            the kernels' share of the copy bandwidth, then the speed of inversion
#                                                 and training; to FOLDER as JSON too
#   benchmarks/gpu.sh gan     DATA SECONDS        train the GAN, or go on with it
#   benchmarks/gpu.sh encoder DATA SECONDS        train the encoder, or go on with it
#   benchmarks/gpu.sh table   DATA RESULTS        pack, score, copy weights, statistics and sheets to RESULTS
#
# DATA is a folder with protocol.csv and metadata.csv. Nothing has to be installed: this package is laid out in
# build/site, and what else the machine lacks is found in build/carried. Beside PyTorch, NumPy, SciPy, Pillow and
# scikit-image, `test` needs pytest, and the training click, MONAI (the teacher's U-Net) and TensorBoard. Without a network
# there, bring them along (--python-version: the other machine's):
#
#   pip install --target build/carried --no-deps --python-version 3.12 --only-binary :all: \
#       pytest pluggy iniconfig packaging pygments click monai tensorboard absl-py protobuf
#
# Runs lie in runs/; every piece resumes where the last one stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
stage=${1:?test, ops, gan, encoder or table}
site=build/site
rm -rf "$site" && mkdir -p "$site"
cp -r monai_semigan "$site/" && cp -r cli "$site/monai_semigan/cli" && cp -r bundles "$site/monai_semigan/bundles"
cp -r benchmarks "$site/benchmarks"
export PYTHONPATH="$PWD/$site${PYTHONPATH:+:$PYTHONPATH}:$PWD/build/carried" PYTHONUNBUFFERED=1
semigan() { python3 -P -m monai_semigan.cli.main "$@"; }

if [ "$stage" = test ]; then
    python3 -P -m benchmarks.gpu_ops || echo "the kernels' speed was not measured"  # first, as a failing test ends this
    exec python3 -P -m pytest -q tests/gpu
fi
if [ "$stage" = ops ]; then
    mkdir -p "${2:-build}"
    python3 -P -m benchmarks.gpu_ops --json "${2:-build}/gpu-ops.json" || echo "the kernels' speed was not measured"
    exec python3 -P -m benchmarks.gpu_speed --json "${2:-build}/gpu-speed.json"
fi

data=${2:?the folder with protocol.csv}
bundle=build/lung_cxr_128
python3 -P - "$bundle" <<'PY'
import json, shutil, sys
from pathlib import Path

root = Path(sys.argv[1])
shutil.rmtree(root, ignore_errors=True)
shutil.copytree("bundles/lung_cxr_segmentation", root, ignore=shutil.ignore_patterns("models", "samples"))
network = {"image_size": 128, "channels": [192, 192, 160, 128, 64, 32], "encoder_channels": [32, 64, 96, 128, 192, 192]}
for name, size in (("metadata.json", None), ("train.json", 32), ("train_encoder.json", 32)):
    path = root / "configs" / name
    config = json.loads(path.read_text())
    if name == "metadata.json":
        config["semigan"]["network"] |= network
        config["semigan"]["preprocessing"]["image_size"] = 128
    else:
        config["network"] |= network
        config["trainer"]["preprocessing"] = {"image_size": 128, "max_stretch": 1.5}
        config["trainer"]["run"] |= {"batch_size": size, "tick_kimg": 20}
        config["trainer"]["run"]["total_kimg"] = 4000 if name == "train.json" else 200
    path.write_text(json.dumps(config))
PY
python3 -P -m benchmarks.protocol "$data" build/protocol.json --labels 175

go_on() {  # folder, seconds, command: resume when there is a run; ending in time is no failure
    local folder=$1 seconds=$2 resume=()
    shift 2
    if [ -e "$folder/resolved_config.json" ]; then resume=(--resume); fi
    timeout --signal=INT "$seconds" python3 -P -m monai_semigan.cli.main -v "$@" "${resume[@]}" || [ $? = 124 ] || [ $? = 130 ]
    tail -n 1 "$folder/stats.jsonl" 2>/dev/null || echo "no tick yet in $folder"
}

case "$stage" in
gan) go_on runs/gan128 "${3:?seconds}" train gan runs/gan128 -b "$bundle" --data build/protocol.json ;;
encoder) go_on runs/encoder128 "${3:?seconds}" train encoder runs/encoder128 -b "$bundle" --data build/protocol.json --gan runs/gan128 ;;
table)
    results=${3:?the folder for results}
    mkdir -p "$results"
    semigan pack build/packed128 -b "$bundle" --weights runs/encoder128/best.pt --overwrite
    python3 -P -m benchmarks.accuracy build/packed128 build/protocol.json --device auto --sets validation --steps 0 50 \
        --json "$results/validation.json"
    cp build/packed128/models/model.pt "$results/model.pt"
    cp build/packed128/configs/metadata.json "$results/metadata.json"
    cp runs/gan128/stats.jsonl "$results/gan-stats.jsonl"
    cp runs/encoder128/stats.jsonl "$results/encoder-stats.jsonl"
    cp "$(ls runs/gan128/samples-*.png | tail -n 1)" "$results/samples.png"
    ;;
*) echo "unknown stage $stage" >&2; exit 2 ;;
esac
