#!/bin/sh
# The network that is to be shipped, from UTKFace alone: four commands, each of which a kill only
# delays (the same command goes on). On two cores of an Intel Xeon (AMX) the first step of folds and
# final takes two hours, the second one. Give the folder of images, and one for what is made:
#
#   sh benchmarks/shipped.sh ../shared/data/utkface runs
#
# Then runs/second/final/bundle is the network, runs/second/metrics.json has the figures over every
# label, and `jobs.report --suspects runs/second` shows which labels are likely wrong.
set -eu
images=$1
made=$2
common="--folds 3 --final --conflicts mean --precision bfloat16 --weights-dtype float16 --cache $made/cache"

python -m jobs.ingest --images "$images" --output "$made/chips"
python -m jobs.ingest --images "$images" --output "$made/both" --faces both

# From random weights, chips as they are: what a face looks like.
# shellcheck disable=SC2086
python -m jobs.train --preset facemill-muon --manifest "$made/chips" --output "$made/first" $common \
    --seed 0

# Goes on with each chip as it is and as it is found and aligned, blurred, sharpened, enlarged and
# noisy: what photographs look like.
# shellcheck disable=SC2086
python -m jobs.train --preset facemill-photo --manifest "$made/both" --output "$made/second" $common \
    --start-from "$made/first" --epochs 8 --learning-rate 0.001 --seed 1
