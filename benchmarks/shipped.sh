#!/bin/sh
# Trains the shipped network, from UTKFace alone. The second part needs a GPU (one H100: 8 minutes)
# on a machine with Keras 3 and JAX, but without Ray and TensorFlow: copy $made/packed to it with
# model/ and benchmarks/, and $made/weights back. Give the folder of images, a folder for what is
# made, and which parts to run here, if not all of them:
#
#   sh benchmarks/shipped.sh ~/utkface runs [pack] [gpu] [home]
#
# Then runs/second/final/bundle is the network, runs/second/metrics.json has the figures over every
# label, and `jobs.label_issues --run runs/second` shows which labels are likely wrong.
set -eu
images=$1
made=$2
shift 2
parts=${*:-pack gpu home}

case " $parts " in *" pack "*)
    python -m jobs.ingest --images "$images" --output "$made/both" --faces both
    python -m benchmarks.gpu.pack --manifest "$made/both" --output "$made/packed" --folds 3
esac

# From random weights: each fold's network and the final one, each with two larger teachers that
# were trained on the same images.
case " $parts " in *" gpu "*)
    python -m benchmarks.gpu.train decode --packed "$made/packed" --pixels "$made/pixels"
    python -m benchmarks.gpu.train train --pixels "$made/pixels" --output "$made/weights"
esac

# One short epoch more, and what makes a bundle of weights: out-of-fold predictions for every label,
# calibration, int8, figures. If it is killed, the same command continues.
case " $parts " in *" home "*)
    python -m benchmarks.gpu.unpack --packed "$made/packed" --weights "$made/weights" \
        --output "$made/gpu"
    python -m jobs.cross_validate --preset facemill-photo --manifest "$made/both" \
        --output "$made/second" --folds 3 --final --conflicting-duplicates mean \
        --precision bfloat16 --weights-dtype float16 --cache "$made/cache" \
        --start-from "$made/gpu" --epochs 1 --learning-rate 0.0001 --seed 1
esac
