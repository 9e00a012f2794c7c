#!/bin/bash
# Three jobs, each begun when the one before it is done: evolve a policy, evaluate it, refine it with another method.
# Run it on the login node; words that follow go to all three: bash slurm/pipeline.sh --partition short
set -eu

submitted() { sed -n 's/^submitted job //p'; }
run=runs/pipeline
size=(--ntasks-per-node 4 --time 04:00:00)

evolve=$(esengine submit "${size[@]}" "$@" -- \
  train truncation-es --env-id CartPole-v1 --generations 50 --run-dir "$run/evolve" | submitted)

evaluate=$(esengine submit "${size[@]}" "$@" --dependency "afterok:$evolve" --sbatch kill-on-invalid-dep=yes -- \
  evaluate "$run/evolve" --episodes 100 --json "$run/evolve/evaluation.json" | submitted)

refine=$(esengine submit "${size[@]}" "$@" --dependency "afterok:$evolve" --sbatch kill-on-invalid-dep=yes -- \
  train openai-es --env-id CartPole-v1 --generations 50 --init-policy "$run/evolve" \
  --run-dir "$run/refine" | submitted)

echo "evolve $evolve, evaluate $evaluate, refine $refine"
