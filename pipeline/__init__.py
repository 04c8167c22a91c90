"""The stream: a source, stages and a sink, wired by pipeline.run.run_pipeline."""
