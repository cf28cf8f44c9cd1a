rule vasp:
    input:
        queue=of("dft", "queue"),
        replay=own("vasp"),
    output:
        calculations=at("vasp", "calculations"),
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
        exec python -m miad vasp \
            --queue {input.queue:q} \
            --calculations {output.calculations:q} \
            --folder {params.folder:q} \
            --chunk {wildcards.chunk} \
            --settings {params.settings:q} \
            >>{log:q} 2>&1
        """
