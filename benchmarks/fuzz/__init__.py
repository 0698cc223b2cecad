"""Generated data sets, uplink logs and registries against the commands that read them.

    python -m benchmarks.fuzz --data 40 --logs 40 --seconds 240     what CI runs (`make fuzz`)
    python -m benchmarks.fuzz --data 2000 --logs 2000               the long run (`make fuzz-long`)
    python -m benchmarks.fuzz --seed 3 --case data:17               one case again

A case is made from (seed, family, number) alone. `data` cases are files and a schema: they go
through `ecct data check`, and what that accepts through a tiny `ecct simulate`. `log` cases are
an uplink log and a registry, made sound once and then altered: they go through `ecct cloud log
check` and `ecct cloud retrain`. The generator knows what a case says, so that each run must end
in one of two ways: with exit code 0 and that very meaning, or with a refusal in words. A
traceback, a run beyond its deadline or its memory, and an exit code 0 with another meaning are
faults; the case is then written out with what was said about it.

| module | holds |
|---|---|
| `command` | the command line, run in this process |
| `pool` | worker processes, deadlines and memory |
| `verdict` | what a case came to |
| `data_case`, `data_truth`, `data_files` | a data set, what it says, and its files |
| `data_alterations`, `schema_alterations`, `file_alterations`, `settings` | what is done to it |
| `data_run` | both commands, and what they must find |
| `log_base`, `log_case` | a sound registry with its log, and a copy with fresh uplinks |
| `record_alterations`, `container_alterations`, `registry_alterations` | what is done to it |
| `log_run` | both commands, and what they must learn |
"""
