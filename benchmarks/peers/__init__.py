"""A federated round of this library beside one of other libraries, on the same work.

    python -m benchmarks.peers install    environments of the peers
    python -m benchmarks.peers run        all rows, one after the other, and a table

Each library runs in a process and an environment of its own. What all compute is in one file of
arrays: samples with the cloud's knowledge joined to them, starting weights and rates. One federated
averaging round over it is what every row does; `benchmarks/README.md` says what ours do beside it.

| module | holds |
|---|---|
| `workload` | the file, made from the library's own devices and `mlp` edge model |
| `model` | that model and its loss once more, for any library of arrays |
| `rows` | what runs in the peers' environments: the file read, rounds measured |
| `ecct_rounds`, `fedjax_rounds`, `pfl_rounds`, `flower_rounds` | a library's rounds; scripts |
| `torch_model` | the model as pfl and Flower train it |
| `environments` | what is installed where |
| `processes` | those scripts, from outside |
| `table` | ratios, and whether all computed the same |
"""
