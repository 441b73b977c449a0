"""Fine-tuning: chat rows and a base model go in, a LoRA adapter that vLLM loads comes out."""
