"""Run directories: how an experiment trains, survives interruption, and reports.

A run directory holds

    config.json       the Config
    run.json          the options: data, steps, batch size, seed, ...
    environment.json  versions, devices, the dataset's name and hash; seed, steps,
                      and how many seeds its program trained, whose times it shares
    metrics.jsonl     one line per update: "step" and the metrics; no clock values
    accuracy.jsonl    clustering of the test images every so many updates
    timings.jsonl     for each of these lines, seconds since the start of its process
    checkpoints/      the newest three saved steps, restorable by path
    damaged/          saved steps that turned out to be damaged, if any
    .lock             held while a process writes here
    evaluation.json   the final report, with the label of each category
    *.png             figures

`metrics.jsonl` of a resumed run equals that of an uninterrupted one, line by line.

`program` is the whole of a run, from its command line to its figures; it reads its
`options`, finds where to begin (`resuming`), runs the `loop`, and keeps `records`.
"""
