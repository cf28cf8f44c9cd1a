rule dft:
    input:
        ledger=ledger_of_dft,
    output:
        queue="results/{run}/dft/queue.jsonl",
        plan="results/{run}/dft/plan.json",
        costs="results/{run}/dft/queue.csv",
        excluded="results/{run}/dft/excluded.csv",
    log:
        "results/{run}/dft/dft.log",
    conda:
        "../../envs/miad.yaml"
    params:
        settings=settings("dft"),
        vasp=settings("vasp"),
    shell:
        """
        python -m miad dft \
            --ledger {input.ledger:q} \
            --queue {output.queue:q} \
            --plan {output.plan:q} \
            --costs {output.costs:q} \
            --excluded {output.excluded:q} \
            --settings {params.settings:q} \
            --vasp {params.vasp:q} \
            >{log:q} 2>&1
        """


rule vasp:
    input:
        queue=result("dft", "queue.jsonl"),
        replay=own("vasp"),
    output:
        calculations="results/{run}/vasp/chunks/{chunk}.jsonl",
    log:
        "results/{run}/vasp/chunks/{chunk}.log",
    conda:
        "../../envs/miad.yaml"
    # Cores and memory that VASP needs are the machine's affair: profiles/slurm.
    threads: 1
    resources:
        mem_mb=8000,
    params:
        settings=settings("vasp"),
        replayed=lambda wildcards: REPLAYED[wildcards.run],
        # Not an output: snakemake leaves it alone, so that a killed calculation goes on and a finished one is kept.
        folder=lambda wildcards: f"results/{wildcards.run}/vasp",
    shell:
        """
        python -m miad vasp \
            --queue {input.queue:q} \
            --calculations {output.calculations:q} \
            --folder {params.folder:q} \
            --chunk {wildcards.chunk} \
            --settings {params.settings:q} \
            >>{log:q} 2>&1
        """


rule dft_energies:
    input:
        ledger=ledger_of_dft,
        plan=result("dft", "plan.json"),
        calculations=chunks_of_vasp,
        generated=shards("sample", "{shard}.jsonl"),
        train=result("dataset", "train.jsonl.gz"),
        val=result("dataset", "val.jsonl.gz"),
        test=result("dataset", "test.jsonl.gz"),
        hull=result("hull", "entries.csv.gz"),
    output:
        relaxed="results/{run}/dft/relaxed.jsonl",
        ledger="results/{run}/dft/ledger.jsonl",
        verdicts="results/{run}/dft/verdicts.jsonl",
        row="results/{run}/dft/row.json",
        energies="results/{run}/dft/energies.csv",
    log:
        "results/{run}/dft/energies.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
    params:
        settings=settings("dft"),
        judge=settings("sun"),
    shell:
        """
        MIAD_CORES={threads} python -m miad dft-energies \
            --ledger {input.ledger:q} \
            --plan {input.plan:q} \
            --calculations {input.calculations:q} \
            --generated {input.generated:q} \
            --train {input.train:q} \
            --val {input.val:q} \
            --test {input.test:q} \
            --hull {input.hull:q} \
            --relaxed {output.relaxed:q} \
            --dft-ledger {output.ledger:q} \
            --verdicts {output.verdicts:q} \
            --row {output.row:q} \
            --energies {output.energies:q} \
            --run {wildcards.run:q} \
            --settings {params.settings:q} \
            --judge {params.judge:q} \
            >{log:q} 2>&1
        """
