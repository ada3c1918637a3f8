#!/bin/bash
# Trains on one machine or on several with torchrun. Start it on each of them, with the number of each:
#
#     NODES=2 NODE_RANK=0 MASTER_ADDR=first.example.org DEVICES=4 bash docs/torchrun.sh --data.dataset ud-en-ewt
#
# The first machine names the run folder. Give --out to choose it.
set -euo pipefail

nodes=${NODES:-1}
devices=${DEVICES:-1}

exec python -m torch.distributed.run \
  --nnodes "$nodes" --node_rank "${NODE_RANK:-0}" --nproc_per_node "$devices" \
  --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-29500}" \
  -m recipes.pos_tagging \
  --trainer.num_nodes "$nodes" --trainer.devices "$devices" --trainer.strategy ddp "$@"
