rule hull:
    input:
        train=result("dataset", "train.jsonl.gz"),
        val=result("dataset", "val.jsonl.gz"),
        test=result("dataset", "test.jsonl.gz"),
    output:
        entries="results/{run}/hull/entries.csv.gz",
    params:
        settings=settings("hull"),
    log:
        "results/{run}/hull/hull.log",
    conda:
        "../../envs/miad.yaml"
    resources:
        mem_mb=4000,
    shell:
        """
        python -m miad hull \
            --train {input.train:q} \
            --val {input.val:q} \
            --test {input.test:q} \
            --entries {output.entries:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
