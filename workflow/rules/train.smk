rule train:
    input:
        train=of("infuse", "train"),
        val=of("infuse", "val"),
        weights=own("train"),
    output:
        model=at("train", "model"),
        readable=at("train", "readable"),
        losses=at("train", "losses"),
    log:
        "results/{run}/train/train.log",
    conda:
        "../../envs/miad.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        gpu=0,
        jobs_per_gpu=1,
    params:
        settings=settings("train"),
    shell:
        # checkpoints/ is not an output, so that snakemake leaves it alone and a killed training goes on from there.
        # exec: Slurm asks all processes of a job to end; a shell would do so at once, and the job with it, before
        # the training has saved.
        """
        MIAD_GPUS={resources.gpu} MIAD_JOBS_PER_GPU={resources.jobs_per_gpu} OMP_NUM_THREADS={threads} \
            exec python -m miad train \
            --train {input.train:q} \
            --val {input.val:q} \
            --model {output.model:q} \
            --losses {output.losses:q} \
            --run {wildcards.run:q} \
            --settings {params.settings:q} \
            >>{log:q} 2>&1
        """
