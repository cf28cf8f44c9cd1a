rule sun:
    input:
        relaxed=shards("relax", "{calculator}/{shard}.jsonl"),
        generated=shards("sample", "{shard}.jsonl"),
        train=result("dataset", "train.jsonl.gz"),
        val=result("dataset", "val.jsonl.gz"),
        test=result("dataset", "test.jsonl.gz"),
        hull=result("hull", "entries.csv.gz"),
    output:
        ledger="results/{run}/sun/{calculator}/ledger.jsonl",
        verdicts="results/{run}/sun/{calculator}/verdicts.jsonl",
        row="results/{run}/sun/{calculator}/row.json",
    log:
        "results/{run}/sun/{calculator}/sun.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=settings("sun"),
        relaxation=settings_of_calculator,
    shell:
        """
        MIAD_CORES={threads} python -m miad sun \
            --relaxed {input.relaxed:q} \
            --generated {input.generated:q} \
            --train {input.train:q} \
            --val {input.val:q} \
            --test {input.test:q} \
            --hull {input.hull:q} \
            --ledger {output.ledger:q} \
            --verdicts {output.verdicts:q} \
            --row {output.row:q} \
            --run {wildcards.run:q} \
            --relaxation {params.relaxation:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
