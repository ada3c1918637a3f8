"""Predicts for the rows of a Parquet file or a folder of them with Ray Data, on one machine or on a cluster.

    pip install 'lstm-zoo[ray]'
    python docs/predict_with_ray.py sentences.parquet tagged --model pos-en-ewt --processes 8

Each process loads the model once. The output is a folder of Parquet files with all columns of the input, and with
those of `zoo.BatchPredictor`.
"""

from __future__ import annotations

import argparse

import ray

import zoo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="a Parquet file or a folder")
    parser.add_argument("output", help="a new folder")
    parser.add_argument("--model", default="pos-en-ewt", help="what zoo.from_pretrained takes; on every machine")
    parser.add_argument("--column", default="text", help="the column with the texts")
    parser.add_argument("--processes", type=int, default=1, help="processes that predict, each on one core")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each process; 0.25 for four processes on one")
    options = parser.parse_args()
    table = ray.data.read_parquet(options.input)
    table = table.map_batches(
        zoo.BatchPredictor,
        fn_constructor_args=(options.model, options.column),
        compute=ray.data.ActorPoolStrategy(size=options.processes),
        num_gpus=options.gpus,
        batch_size=1000,
    )
    table.write_parquet(options.output)


if __name__ == "__main__":
    main()
