rule external:
    input:
        crystals=lambda wildcards: EXTERNAL[wildcards.name]["crystals"],
        generated=generated_of,
        train=f"results/{home(MAIN, 'dataset')}/dataset/train.jsonl.gz",
        val=f"results/{home(MAIN, 'dataset')}/dataset/val.jsonl.gz",
        test=f"results/{home(MAIN, 'dataset')}/dataset/test.jsonl.gz",
        hull=f"results/{home(MAIN, 'hull')}/hull/entries.csv.gz",
    output:
        row="results/external/{name}/row.json",
        ledger="results/external/{name}/ledger.csv",
        verdicts="results/external/{name}/verdicts.jsonl",
        candidates="results/external/{name}/candidates.csv",
        full="results/external/{name}/ledger.jsonl",
        cif=directory("results/external/{name}/cif"),
    log:
        "results/external/{name}/evaluate.log",
    conda:
        "../../envs/eqv2.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=evaluation_settings,
        flags=evaluation_flags,
        out=lambda wildcards, output: os.path.dirname(output.row),
        generated=lambda wildcards, input: [f"--generated={path}" for path in [input.get("generated")] if path],
    shell:
        """
        MIAD_CORES={threads} python -m miad evaluate \
            {input.crystals:q} \
            --train {input.train:q} \
            --val {input.val:q} \
            --test {input.test:q} \
            --hull {input.hull:q} \
            --out {params.out:q} \
            --run {wildcards.name:q} \
            --settings {params.settings:q} \
            {params.generated:q} \
            {params.flags:q} \
            >{log:q} 2>&1
        """
