def dft_queues():
    """What the last stage adds to `all`: nothing, and a word about it, unless DFT is enabled."""
    enabled = [run for run, sections in RUNS.items() if sections["dft"]["enabled"]]
    if not enabled:
        logger.info("DFT is not enabled (dft.enabled: false in config.yaml): the last stage is left out.")
    return [f"results/{run}/dft/queue.jsonl" for run in enabled]


def ledger_of_dft(wildcards):
    """The ledger of the calculator that decides which crystals go to DFT."""
    calculator = RUNS[wildcards.run]["dft"]["calculator"]
    return f"results/{home(wildcards.run, 'sun')}/sun/{calculator}/ledger.jsonl"


rule dft:
    input:
        ledger=ledger_of_dft,
    output:
        queue="results/{run}/dft/queue.jsonl",
        excluded="results/{run}/dft/excluded.csv",
    params:
        settings=settings("dft"),
    log:
        "results/{run}/dft/dft.log",
    conda:
        "../../envs/miad.yaml"
    shell:
        """
        python -m miad dft \
            --ledger {input.ledger:q} \
            --queue {output.queue:q} \
            --excluded {output.excluded:q} \
            --settings {params.settings:q} \
            >{log:q} 2>&1
        """
