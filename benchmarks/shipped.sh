#!/bin/sh
# The network that is to be shipped, from UTKFace alone. The second part needs a GPU (one H100: 8
# minutes) on a machine with Keras 3 and JAX, and neither Ray nor TensorFlow there: copy $made/packed
# to it with model/ and benchmarks/, and $made/weights back. Give the folder of images, one for what
# is made, and which parts to do, if not all of them here:
#
#   sh benchmarks/shipped.sh ../shared/data/utkface runs [pack] [gpu] [home]
#
# Then runs/second/final/bundle is the network, runs/second/metrics.json has the figures over every
# label, and `jobs.report --suspects runs/second` shows which labels are likely wrong.
set -eu
images=$1
made=$2
shift 2
parts=${*:-pack gpu home}

case " $parts " in *" pack "*)
    python -m jobs.ingest --images "$images" --output "$made/both" --faces both
    python -m benchmarks.gpu.pack --manifest "$made/both" --output "$made/packed" --folds 3
esac

# From random weights: each fold's network and the final one, each taught by two larger ones that
# have seen what it sees.
case " $parts " in *" gpu "*)
    python -m benchmarks.gpu.train decode --packed "$made/packed" --pixels "$made/pixels"
    python -m benchmarks.gpu.train train --pixels "$made/pixels" --output "$made/weights"
esac

# One short epoch more, and what makes a bundle of weights: every label answered by the fold that has
# not seen it, calibration, int8, figures. A kill only delays it: the same command goes on.
case " $parts " in *" home "*)
    python -m benchmarks.gpu.unpack --packed "$made/packed" --weights "$made/weights" \
        --output "$made/gpu"
    python -m jobs.train --preset facemill-photo --manifest "$made/both" --output "$made/second" \
        --folds 3 --final --conflicts mean --precision bfloat16 --weights-dtype float16 \
        --cache "$made/cache" --start-from "$made/gpu" --epochs 1 --learning-rate 0.0001 --seed 1
esac
